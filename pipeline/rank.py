"""A bucket's score rows -> ranked rows and rejects. Pure, vectorised, and independent of how the work was spread."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.config import Fusion
from pipeline.fusion import METHODS
from pipeline.read import REJECT

DUPLICATE = "duplicate of an earlier row with the same query_id and doc_id"


def rank(rows: pa.Table, fusion: Fusion) -> tuple[pa.Table, pa.Table]:
    """Ranked rows of whole queries, and the rows that have no place among them.

    rows: score rows (pipeline.scores.SCHEMA) of every unit, in any order.
    Ranked: query_id, doc_id, rank, score, first_stage_score, rerank_score, reason, file, row, and explanation where
    the rows have it; sorted by query_id, then rank. Order within a query: fused score down, first-stage score down,
    doc_id up by bytes; pairs without a reranker score after all others. Rejects: file, row, reason; sorted by file
    and row.
    """
    rows = rows.combine_chunks()
    rejected = rows.filter(pc.equal(rows["kind"], REJECT))
    rows = rows.filter(pc.not_equal(rows["kind"], REJECT))
    query, doc = _codes(rows["query_id"]), _codes(rows["doc_id"])
    order = np.lexsort((rows["row"].to_numpy(), rows["file"].to_numpy(), doc, query))
    query, doc = query[order], doc[order]
    repeats = np.zeros(len(order), dtype=bool)
    repeats[1:] = (query[1:] == query[:-1]) & (doc[1:] == doc[:-1])
    duplicates = rows.take(order[repeats])
    rows = rows.take(order[~repeats])
    ranked = _ranked(rows, query[~repeats], fusion)
    reasons = pa.chunked_array(
        [*rejected["reason"].chunks, pa.repeat(pa.scalar(DUPLICATE), len(duplicates))], pa.string()
    )
    rejects = pa.concat_tables([rejected, duplicates]).select(["file", "row"]).append_column("reason", reasons)
    return ranked, rejects.sort_by([("file", "ascending"), ("row", "ascending")])


def _ranked(rows: pa.Table, query: np.ndarray, fusion: Fusion) -> pa.Table:
    """`rows` are sorted by query_id, then doc_id; `query` are the numbers of their queries."""
    first = rows["first_stage_score"].to_numpy()
    scored = rows["rerank_score"].is_valid().to_numpy()
    rerank = rows["rerank_score"].to_numpy()[scored]
    _, dense = np.unique(query[scored], return_inverse=True)
    fused = np.full(len(rows), np.nan)
    fused[scored] = METHODS[fusion.method](first[scored], rerank, dense, fusion.alpha, fusion.k)
    # lexsort puts nan last, and -0.0 beside 0.0; rows are in doc_id order already, which settles the last ties
    order = np.lexsort((np.arange(len(rows)), -first, -fused, query))
    starts = np.flatnonzero(np.diff(query, prepend=-1))
    rank = np.arange(len(rows)) - np.repeat(starts, np.diff([*starts, len(rows)])) + 1
    rows, fused = rows.take(order), fused[order]
    return pa.table(
        {
            "query_id": rows["query_id"],
            "doc_id": rows["doc_id"],
            "rank": pa.array(rank, pa.int32()),
            "score": pa.array(fused, pa.float64(), mask=np.isnan(fused)),
            "first_stage_score": rows["first_stage_score"],
            "rerank_score": rows["rerank_score"],
            "reason": rows["reason"],
            "file": rows["file"],
            "row": rows["row"],
        }
        | {name: rows[name] for name in rows.column_names if name == "explanation"}
    )


def _codes(ids: pa.ChunkedArray) -> np.ndarray:
    """Numbers that order as the ids do by their bytes; equal ids have equal numbers."""
    coded = ids.combine_chunks().dictionary_encode()
    place = np.empty(len(coded.dictionary), dtype=np.int64)
    place[pc.array_sort_indices(coded.dictionary).to_numpy()] = np.arange(len(place))
    return place[coded.indices.to_numpy()]
