"""The rankings that a result holds: first stage, reranker alone, fusion, and the fusion with another alpha.

An order is an array of pair numbers: query after query, the best pair of each query first. Ties go as in the project's
own ranking (pipeline.rank.rank): first-stage score down, then doc_id up by bytes; pairs without a reranker score are
last, in first-stage order, but for the first stage itself.
"""

import numpy as np

from pipeline.config import Fusion
from pipeline.evaluate.result import Result
from pipeline.rank.rank import order_by_fused_score, rank_in_order

Run = dict[str, list[str]]  # query_id -> doc_ids, best first

FIRST_STAGE, RERANKER, FUSION = "first stage", "reranker", "fusion"


def make_rankings(result: Result) -> dict[str, np.ndarray]:
    """The three rankings of a result, by their names. The first stage of a later stage is the ranking it was given."""
    first = result.given.rank if result.given else -result.first
    return {
        FIRST_STAGE: np.lexsort((np.arange(len(first)), first, result.query)),
        RERANKER: fuse_again(result, Fusion(method="none")),
        FUSION: np.lexsort((result.rank, result.query)),
    }


def fuse_again(result: Result, fusion: Fusion) -> np.ndarray:
    """The ranking by another fusion of the scores that the result holds."""
    return order_by_fused_score(result.query, result.first, result.rerank, result.scored, fusion)[0]


def number_ranks(result: Result, order: np.ndarray) -> np.ndarray:
    """The rank of each pair in an order, from 1."""
    ranks = np.empty(len(order), dtype=np.int64)
    ranks[order] = rank_in_order(result.query)
    return ranks


def list_docs(result: Result, order: np.ndarray, depth: int | None = None) -> Run:
    """An order as document ids, down to `depth` for each query."""
    bounds = np.searchsorted(result.query, np.arange(len(result.query_ids) + 1))
    return {
        query: result.docs[order[start:stop][:depth]].tolist()
        for query, start, stop in zip(result.query_ids, bounds[:-1], bounds[1:], strict=True)
    }
