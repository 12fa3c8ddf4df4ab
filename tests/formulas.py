"""The fusion formulas in plain Python, one query at a time: what the vectorised methods are held against."""

from collections.abc import Callable
from statistics import fmean, pstdev

Formula = Callable[[list[float], list[float], float, int], list[float]]


def none(first: list[float], rerank: list[float], alpha: float, k: int) -> list[float]:
    return rerank


def zscore(first: list[float], rerank: list[float], alpha: float, k: int) -> list[float]:
    return [alpha * f + (1 - alpha) * r for f, r in zip(_z(first), _z(rerank), strict=True)]


def minmax(first: list[float], rerank: list[float], alpha: float, k: int) -> list[float]:
    return [alpha * f + (1 - alpha) * r for f, r in zip(_m(first), _m(rerank), strict=True)]


def rrf(first: list[float], rerank: list[float], alpha: float, k: int) -> list[float]:
    places = range(len(first))
    by_first = sorted(places, key=lambda i: (-first[i], i))
    by_rerank = sorted(places, key=lambda i: (-rerank[i], by_first.index(i)))
    return [alpha / (k + by_first.index(i) + 1) + (1 - alpha) / (k + by_rerank.index(i) + 1) for i in places]


FORMULAS: dict[str, Formula] = {"none": none, "zscore": zscore, "minmax": minmax, "rrf": rrf}


def _z(x: list[float]) -> list[float]:
    return [0.0 if min(x) == max(x) else (value - fmean(x)) / pstdev(x) for value in x]


def _m(x: list[float]) -> list[float]:
    return [0.0 if min(x) == max(x) else (value - min(x)) / (max(x) - min(x)) for value in x]
