"""Fusion methods: first-stage and reranker scores of many queries at once -> fused scores.

Every method gets the scored pairs of whole queries, sorted by query, then doc_id: `first` and `rerank` (float64,
finite, maybe near the largest, maybe none at all), and `query`, the number of each pair's query (0, 0, 1, 2, 2, 2, ...;
every number occurs). `alpha` is the weight of the first stage, `k` the constant of `rrf`. A fused score is never nan.
Pairs of a query with the same two scores get the same fused score, to the bit: such ties are ranked by doc_id.
"""

from collections.abc import Callable

import numpy as np

HUGE = np.finfo(float).max / 2  # the difference of two scores above it may be infinite
Fuse = Callable[[np.ndarray, np.ndarray, np.ndarray, float, int], np.ndarray]


def none(first: np.ndarray, rerank: np.ndarray, query: np.ndarray, alpha: float, k: int) -> np.ndarray:
    """The reranker's score alone."""
    return rerank


def zscore(first: np.ndarray, rerank: np.ndarray, query: np.ndarray, alpha: float, k: int) -> np.ndarray:
    """alpha * z(first) + (1 - alpha) * z(rerank), z(x) = (x - mean) / population standard deviation, per query.

    Where all scores of a query are equal, z is 0. Source: ERank, arXiv 2509.00520, appendix G (alpha = 0.2).
    """
    return alpha * _z(first, query) + (1 - alpha) * _z(rerank, query)


def minmax(first: np.ndarray, rerank: np.ndarray, query: np.ndarray, alpha: float, k: int) -> np.ndarray:
    """alpha * m(first) + (1 - alpha) * m(rerank), m(x) = (x - min) / (max - min), per query; 0 where all are equal."""
    return alpha * _m(first, query) + (1 - alpha) * _m(rerank, query)


def rrf(first: np.ndarray, rerank: np.ndarray, query: np.ndarray, alpha: float, k: int) -> np.ndarray:
    """alpha / (k + rank in first) + (1 - alpha) / (k + rank in rerank), ranks from 1, per query.

    Ties in the first stage go by the order given (doc_id); ties of the reranker by the first stage's rank. Source:
    Cormack, Clarke and Buettcher, SIGIR 2009 (k = 60), with weights.
    """
    first_rank = _ranks(first, query, np.arange(len(first)))
    rerank_rank = _ranks(rerank, query, first_rank)
    return alpha / (k + first_rank) + (1 - alpha) / (k + rerank_rank)


METHODS: dict[str, Fuse] = {"none": none, "zscore": zscore, "minmax": minmax, "rrf": rrf}


def _starts(query: np.ndarray) -> np.ndarray:
    """The first pair of each query. query: of one pair at least."""
    return np.append(0, np.flatnonzero(query[1:] != query[:-1]) + 1)


def _z(x: np.ndarray, query: np.ndarray) -> np.ndarray:
    # Shift and scale leave z as it is. No square of a score in [0, 1] overflows or vanishes, and where all are equal
    # the std is exactly 0 instead of a rounding error above it.
    x = _m(x, query)
    size = np.bincount(query)
    deviation = x - np.repeat(np.bincount(query, x) / size, size)
    std = np.sqrt(np.bincount(query, deviation**2) / size)
    return deviation / np.repeat(np.where(std > 0, std, 1), size)


def _m(x: np.ndarray, query: np.ndarray) -> np.ndarray:
    if not len(x):
        return x
    if np.abs(x).max() > HUGE:
        x = x / 2  # which leaves m as it is
    starts = _starts(query)
    size = np.diff(starts, append=len(x))
    low = np.minimum.reduceat(x, starts)
    spread = np.maximum.reduceat(x, starts) - low
    return (x - np.repeat(low, size)) / np.repeat(np.where(spread > 0, spread, 1), size)


def _ranks(x: np.ndarray, query: np.ndarray, tie: np.ndarray) -> np.ndarray:
    """Rank from 1 inside each query, largest score first, ties in ascending order of `tie`."""
    order = np.lexsort((tie, -x, query))
    ranks = np.empty(len(x), dtype=np.int64)
    ranks[order] = np.arange(len(x)) - _starts(query)[query] + 1
    return ranks
