"""A bucket's score rows -> ranked rows and rejects. Pure, vectorised, and independent of how the work was spread."""

from collections.abc import Callable
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.config import Fusion
from pipeline.fusion import METHODS
from pipeline.rows import EQUAL, REJECT

DUPLICATE = {  # input.duplicates -> the reason of a row that is not kept
    "first": "duplicate of an earlier row with the same query_id and doc_id",
    "last": "duplicate of a later row with the same query_id and doc_id",
}
Which = Literal["first", "last"]
Ties = Callable[[np.ndarray], tuple[np.ndarray, ...]]


def rank(rows: pa.Table, fusion: Fusion, duplicates: Which = "first") -> tuple[pa.Table, pa.Table]:
    """Ranked rows of whole queries, and the rows that cannot be ranked.

    rows: score rows (pipeline.score.files.get_schema) of every unit, in any order. duplicates: which of the rows with
    the same query_id and doc_id is ranked.
    Ranked: query_id, doc_id, rank, score, first_stage_score, rerank_score, reason, file, row, and explanation where
    the rows have it; sorted by query_id, then rank. Order within a query: fused score down, first-stage score down,
    doc_id up by bytes; pairs without a reranker score after all others. Rejects: file, row, reason; sorted by file
    and row.
    """
    rows = rows.combine_chunks()
    rejected = rows.filter(pc.equal(rows["kind"], REJECT))
    if len(rejected):
        rows = rows.filter(pc.not_equal(rows["kind"], REJECT))
    query, docs = code_in_order(rows["query_id"].combine_chunks()), rows["doc_id"].combine_chunks()
    order, same = _argsort(
        query, _read_leading_bytes(docs), lambda at: (*_find_positions(rows, at), code_in_order(docs.take(at)))
    )
    again = np.flatnonzero(np.diff(same) == 0) + 1  # positions whose query, and doc_id so far as was read, is repeated
    again = again[pc.equal(docs.take(order[again]), docs.take(order[again - 1])).to_numpy(zero_copy_only=False)]
    repeated, kept = _find_repeats(again, len(order), duplicates)
    equal = _are_equal(rows, order[repeated], order[kept])
    reasons = np.where(equal, EQUAL[duplicates], DUPLICATE[duplicates])
    columns = ["file", "row", "reason"]
    others = rows.take(order[repeated]).select(columns).set_column(2, "reason", pa.array(reasons, pa.string()))
    rejects = pa.concat_tables([rejected.select(columns), others])
    order = np.delete(order, repeated)
    ranked = _rank_rows(rows, order, query[order], fusion)
    return ranked, rejects.sort_by([("file", "ascending"), ("row", "ascending")])


def _find_repeats(again: np.ndarray, size: int, duplicates: Which) -> tuple[np.ndarray, np.ndarray]:
    """The positions of the rows that are not kept, and of the row that is kept instead of each.

    again: positions whose ids are those of the position before.
    """
    new = np.ones(size, dtype=bool)
    new[again] = False
    group = np.cumsum(new) - 1
    starts = np.flatnonzero(new)
    if duplicates == "first":
        return again, starts[group[again]]
    repeated = again - 1  # each has one with its ids behind it
    return repeated, np.append(starts[1:], size)[group[repeated]] - 1


def _are_equal(rows: pa.Table, some: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Whether rows with the same ids are equal in the other columns used, too: the texts and the first-stage score."""
    same = np.ones(len(some), dtype=bool)
    for name in ("texts", "first_stage_score"):
        same &= pc.equal(rows[name].take(some), rows[name].take(others)).to_numpy(zero_copy_only=False)
    return same


def order_by_fused_score(
    query: np.ndarray, first: np.ndarray, rerank: np.ndarray, scored: np.ndarray, fusion: Fusion
) -> tuple[np.ndarray, np.ndarray]:
    """(order, fused): the pairs of whole queries, best first in each, and the fused score of each pair as given.

    The pairs come sorted by query, then doc_id; `query` is the number of each pair's query (0, 0, 1, ...). Those that
    are not `scored` are fused to nan, and come after all others of their query.
    """
    fused = np.full(len(query), np.nan)
    new = np.diff(query[scored], prepend=-1) != 0
    numbers = np.cumsum(new) - 1
    fused[scored] = METHODS[fusion.method](first[scored], rerank[scored], numbers, fusion.alpha, fusion.k)
    order, _ = _argsort(query, -fused, lambda at: (at, -first[at]))  # nan comes last, and -0.0 beside 0.0
    return order, fused


def rank_in_order(query: np.ndarray) -> np.ndarray:
    """The rank of each pair in its query, from 1, for pairs that are in order; those of a query are adjacent."""
    starts = np.flatnonzero(np.diff(query, prepend=-1))
    return np.arange(len(query)) - np.repeat(starts, np.diff([*starts, len(query)])) + 1


def _rank_rows(rows: pa.Table, order: np.ndarray, query: np.ndarray, fusion: Fusion) -> pa.Table:
    """`order` names the rows to rank, sorted by query_id, then doc_id; `query` are the numbers of their queries."""
    first, rerank = (rows[name].to_numpy()[order] for name in ("first_stage_score", "rerank_score"))
    scored = rows["rerank_score"].is_valid().to_numpy()[order]
    down, fused = order_by_fused_score(query, first, rerank, scored, fusion)
    names = ["query_id", "doc_id", "first_stage_score", "rerank_score", "reason", "file", "row"]
    names += [name for name in rows.column_names if name == "explanation"]
    ranked = rows.select(names).take(order[down])
    ranked = ranked.add_column(2, "rank", pa.array(rank_in_order(query), pa.int32()))
    return ranked.add_column(3, "score", pa.array(fused[down], pa.float64(), mask=np.isnan(fused[down])))


def _argsort(query: np.ndarray, key: np.ndarray, ties: Ties) -> tuple[np.ndarray, np.ndarray]:
    """The order by query, key, and then the keys that `ties` gives for some rows, the last of which weighs most; and
    for each position in that order the number of its run of rows with equal query and key.

    It is the order of np.lexsort, in less than half the time where few keys are equal: numpy's fast sort is not
    stable, so equal rows are in any order at first, and are sorted afterwards.
    """
    order = np.argsort(key)
    small = query.astype(np.min_scalar_type(query.max(initial=0)))  # numpy sorts 16 bits by radix
    order = order[np.argsort(small[order], kind="stable")]
    query, key = query[order], key[order]
    equal = (key[1:] == key[:-1]) | (key[1:] != key[1:]) & (key[:-1] != key[:-1])  # or both nan
    same = np.zeros(len(order) + 1, dtype=bool)  # as the one before
    same[1:-1] = equal & (query[1:] == query[:-1])
    run = np.cumsum(~same[:-1])
    tied = np.flatnonzero(same[1:] | same[:-1])
    rows = order[tied]
    order[tied] = rows[np.lexsort((*ties(rows), run[tied]))]
    return order, run


def _find_positions(rows: pa.Table, at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The positions of these rows in the input, for lexsort."""
    return rows["row"].to_numpy()[at], rows["file"].to_numpy()[at]


def _read_leading_bytes(ids: pa.StringArray) -> np.ndarray:
    """The first eight bytes after the prefix that all ids share, as numbers of the same order; a short id is filled up
    with zeros."""
    if not len(ids):
        return np.zeros(0, np.uint64)
    low, high = (value.encode() for value in pc.min_max(ids).as_py().values())
    skip = next((at for at, (a, b) in enumerate(zip(low, high, strict=False)) if a != b), len(low))
    _, offsets, data = ids.buffers()
    text = np.concatenate([np.frombuffer(data or b"", np.uint8), np.zeros(1, np.uint8)])
    bounds = np.frombuffer(offsets, np.int32)[ids.offset : ids.offset + len(ids) + 1].astype(np.int64)
    number = np.zeros(len(ids), np.uint64)
    for at in range(skip, skip + 8):
        place = bounds[:-1] + at
        number = number << np.uint64(8) | text[np.where(place < bounds[1:], place, -1)]  # the last of them is the zero
    return number


def code_in_order(ids: pa.StringArray) -> np.ndarray:
    """Numbers that order as the ids do by their bytes; equal ids have equal numbers."""
    coded = ids.dictionary_encode()
    place = np.empty(len(coded.dictionary), dtype=np.int64)
    place[pc.array_sort_indices(coded.dictionary).to_numpy()] = np.arange(len(place))
    return place[coded.indices.to_numpy()]
