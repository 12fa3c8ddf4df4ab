"""Oddities in the rows of a bucket that may be mistakes in the input. They change nothing in the result."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.rows import REJECT


def count_oddities(rows: pa.Table) -> dict[str, int]:
    """Queries, by what is odd in them. rows: score rows of whole queries (pipeline.score.files.get_schema).

    several_texts: those whose rows have different texts, or instructions, under one query_id. in_order: those whose
    rows stand side by side in a file in the order of their first-stage scores, ascending or descending, with three
    different scores or more. contrary: of these, those that ascend, as distances do.
    """
    rows = rows.select(["file", "row", "query_id", "query_text", "first_stage_score", "kind"])
    placed = pc.not_equal(rows["kind"], REJECT)
    if not pc.all(placed).as_py():
        rows = rows.filter(placed)
    coded = rows["query_id"].combine_chunks().dictionary_encode()
    query, queries = coded.indices.to_numpy(), len(coded.dictionary)
    up, down = _count_steps(rows, query, queries)
    return {
        "several_texts": _count_several(query, queries, rows["query_text"]),
        "in_order": int(np.sum((np.minimum(up, down) == 0) & (up + down > 1))),
        "contrary": int(np.sum((down == 0) & (up > 1))),
    }


def _count_several(query: np.ndarray, queries: int, text: pa.ChunkedArray) -> int:
    """Queries with different texts. query: the number of each row's query. text: the hash of its text, or null."""
    known = text.is_valid().to_numpy()
    query, hashes = query[known], text.drop_null().to_numpy()
    one = np.zeros(queries, hashes.dtype)
    one[query] = hashes  # any of them
    return len(np.unique(query[hashes != one[query]]))


def _count_steps(rows: pa.Table, query: np.ndarray, queries: int) -> tuple[np.ndarray, np.ndarray]:
    """How often the first-stage score goes up, and down, from a row of a query to the one behind it in the file."""
    place = rows["file"].to_numpy().astype(np.int64) << 40 | rows["row"].to_numpy()
    score = rows["first_stage_score"].to_numpy()
    if (place[1:] < place[:-1]).any():
        order = np.argsort(place)
        place, query, score = place[order], query[order], score[order]
    beside = (np.diff(place) == 1) & (query[1:] == query[:-1])
    up, down = (query[1:][beside & step] for step in (score[1:] > score[:-1], score[1:] < score[:-1]))
    return np.bincount(up, minlength=queries), np.bincount(down, minlength=queries)


def describe_oddities(figures: dict[str, Any], lower_is_better: bool, whole: bool = False) -> Iterator[str]:
    """Lines about what looks odd in a whole input. figures: of its result, which may be one of an earlier version.
    whole: its reranker saw whole queries, in the order of their first-stage scores."""
    if several := figures.get("several_texts"):
        yield f"{several:,} of {figures['queries']:,} queries have rows with different texts under one query_id"
    in_order, contrary = figures.get("in_order", 0), figures.get("contrary", 0)
    if 2 * contrary > in_order:
        better, mend = ("higher", "false") if lower_is_better else ("lower", "true")
        how = "scores in the other order, under another output.path" if whole else "ranks again, and scores nothing"
        yield (
            f"in {contrary:,} of {in_order:,} queries whose rows stand in the order of their first-stage scores, the "
            f"worst comes first; is {better} better? input.lower_is_better={mend} {how}"
        )
    if equal := figures["equal"]:
        yield f"{equal:,} of {figures['rows']:,} rows ({equal / figures['rows']:.1%}) are equal to another one"
