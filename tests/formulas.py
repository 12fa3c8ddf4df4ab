"""Fusion and ranking in plain Python, one query at a time: what the vectorised code is held against."""

from collections.abc import Callable
from statistics import fmean, pstdev
from typing import Any

REPEATED = "duplicate of an earlier row with the same query_id and doc_id"
Row = dict[str, Any]
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


def ranked_in_plain_python(rows: list[Row], method: str, alpha: float, k: int) -> tuple[list[Row], list[Row]]:
    """The ranking of pipeline.rank.rank.rank, by dictionaries and loops, for rows of which no two are equal."""
    rejects = [row for row in rows if row["kind"] == "reject"]
    queries: dict[str, dict[str, Row]] = {}
    for row in sorted((row for row in rows if row["kind"] != "reject"), key=lambda row: (row["file"], row["row"])):
        docs = queries.setdefault(row["query_id"], {})
        if row["doc_id"] in docs:
            rejects.append(row | {"reason": REPEATED})
        else:
            docs[row["doc_id"]] = row
    ranked = []
    for _, docs in sorted(queries.items()):
        by_doc = [docs[doc] for doc in sorted(docs)]
        scored = [row for row in by_doc if row["rerank_score"] is not None]
        unscored = [row | {"score": None} for row in by_doc if row["rerank_score"] is None]
        if scored:
            first, rerank = ([row[name] for row in scored] for name in ("first_stage_score", "rerank_score"))
            fused = FORMULAS[method](first, rerank, alpha, k)
            scored = [row | {"score": score} for row, score in zip(scored, fused, strict=True)]
        scored.sort(key=lambda row: (-row["score"], -row["first_stage_score"], row["doc_id"]))
        unscored.sort(key=lambda row: (-row["first_stage_score"], row["doc_id"]))
        ranked += [row | {"rank": place} for place, row in enumerate(scored + unscored, 1)]
    rejects.sort(key=lambda row: (row["file"], row["row"]))
    return ranked, [{name: row[name] for name in ("file", "row", "reason")} for row in rejects]
