"""The rankings of several results and runs over the same queries -> one ranking. Pure, and vectorised."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.errors import UsageError
from pipeline.fusion import METHODS
from pipeline.rank.rank import code_in_order, rank_in_order
from pipeline.rows import replace_column

CANDIDATE = pa.schema(
    [
        ("query_id", pa.string()),
        ("doc_id", pa.string()),
        ("score", pa.float64()),
        ("first_stage_score", pa.float64()),
        ("reason", pa.string()),
    ]
)


def mix(
    names: Sequence[str], rankings: Sequence[pa.Table], weights: Sequence[float], method: str, k: int
) -> tuple[pa.Table, np.ndarray]:
    """One ranking of all candidates of whole queries; and for each ranking which of them it has a score for (bools,
    rankings x candidates, in the order of the table's rows).

    names: of the rankings, for messages. rankings: rows of CANDIDATE, the first of them maybe with further columns.
    The score of a candidate is the sum over the rankings of weight * f(score), f as pipeline/fusion.py has it, over the
    scored candidates of a query. One that a ranking does not have, or has no score for, counts there like the last
    scored one of its query; a ranking that scores no candidate of a query adds nothing. A candidate without a score in
    all of them has none. Its other columns come from the first ranking that has it.
    Order within a query: score down, first-stage score down, doc_id up by bytes. Raises UsageError where a ranking has
    a candidate twice.
    """
    rows = pa.concat_tables(rankings, promote_options="default").combine_chunks()
    doc = code_in_order(rows["doc_id"].combine_chunks())
    pair = code_in_order(rows["query_id"].combine_chunks()) * (doc.max(initial=0) + 1) + doc
    pair, row, number = np.unique(pair, return_index=True, return_inverse=True)
    query = np.unique(pair // (doc.max(initial=0) + 1), return_inverse=True)[1]
    scores = np.full((len(rankings), len(pair)), np.nan)
    given, start = rows["score"].to_numpy(), 0
    for at, ranking in enumerate(rankings):
        mine = slice(start, start + len(ranking))
        _check_once(names[at], rows, number[mine], start)
        scores[at, number[mine]] = given[mine]
        start = mine.stop
    scored = ~np.isnan(scores)
    total = sum(
        weight * _evaluate(one, known, query, method, k)
        for weight, one, known in zip(weights, scores, scored, strict=True)
    )
    total = np.where(scored.any(axis=0), total, np.nan)
    first = rows["first_stage_score"].to_numpy()[row]
    order = np.lexsort((-first, -total, query))  # stable, and the pairs are in the order of their doc_ids; nan is last
    total = total[order]
    mixed = rows.take(row[order]).set_column(2, "score", pa.array(total, pa.float64(), mask=np.isnan(total)))
    reason = pc.if_else(pa.array(np.isnan(total)), mixed["reason"], pa.scalar(None, pa.string()))
    mixed = replace_column(mixed, "reason", reason)
    ranks = pa.array(rank_in_order(query), pa.int32())
    return mixed.add_column(2, "rank", ranks), scored[:, order]


def _evaluate(score: np.ndarray, scored: np.ndarray, query: np.ndarray, method: str, k: int) -> np.ndarray:
    """f of the scores of one ranking, and for those that are not scored the lowest of their query, or 0."""
    among, numbers = np.unique(query[scored], return_inverse=True)
    values = METHODS[method](score[scored], score[scored], numbers, 1.0, k)  # all of the weight on one ranking
    lowest = np.zeros(query.max(initial=-1) + 1)
    if len(among):
        lowest[among] = np.minimum.reduceat(values, np.flatnonzero(np.diff(numbers, prepend=-1)))
    filled = lowest[query]
    filled[scored] = values
    return filled


def _check_once(name: str, rows: pa.Table, numbers: np.ndarray, start: int) -> None:
    """Raises UsageError where a ranking has a candidate twice. numbers: of its candidates. start: its first row."""
    unique, first = np.unique(numbers, return_index=True)
    if len(unique) < len(numbers):
        again = start + int(np.setdiff1d(np.arange(len(numbers)), first)[0])
        query, doc = rows["query_id"][again].as_py(), rows["doc_id"][again].as_py()
        raise UsageError(f"{name}: has document {doc!r} of query {query!r} twice; which score counts?")
