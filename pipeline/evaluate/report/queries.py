"""The queries that gained and lost most, with their first documents before and after."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.evaluate.evaluation import Evaluation
from pipeline.evaluate.measures import find_first_relevant
from pipeline.evaluate.qrels import Qrels
from pipeline.evaluate.result import read_texts
from pipeline.evaluate.runs import FIRST_STAGE, FUSION, number_ranks
from pipeline.evaluate.significance import ROUNDING

QUERIES_SHOWN = 10
DOCS_SHOWN = 5
TEXT_LENGTH = 300  # characters of a text


@dataclass(frozen=True)
class Doc:
    """A document in one ranking; `other` is its rank in the other one. grade: None where nobody judged it."""

    rank: int
    other: int
    doc_id: str
    grade: int | None
    text: str


@dataclass(frozen=True)
class Query:
    """first_before, first_after: the rank of the first relevant document, None where there is none."""

    query_id: str
    text: str
    before: float
    after: float
    first_before: int | None
    first_after: int | None
    docs_before: Sequence[Doc]
    docs_after: Sequence[Doc]


def find_most_changed(evaluation: Evaluation, qrels: Qrels) -> tuple[list[Query], list[Query]]:
    """The queries that gained most and that lost most from first stage to fusion, by the first measure.

    Only queries that changed; of equal ones the first by id.
    """
    before, after = (evaluation.values[name][0] for name in (FIRST_STAGE, FUSION))
    change = after - before
    by_gain = sorted(range(len(change)), key=lambda at: (-change[at], evaluation.queries[at]))
    gained = [at for at in by_gain if change[at] > ROUNDING][:QUERIES_SHOWN]
    lost = [at for at in sorted(by_gain, key=lambda at: change[at]) if change[at] < -ROUNDING][:QUERIES_SHOWN]
    shown = [evaluation.queries[at] for at in gained + lost]
    texts = read_texts(evaluation.result, shown) if shown else ({}, {})
    old, new = (number_ranks(evaluation.result, evaluation.orders[name]) for name in (FIRST_STAGE, FUSION))
    found = {
        at: _describe_query(evaluation, at, (float(before[at]), float(after[at])), (old, new), qrels, texts)
        for at in gained + lost
    }
    return [found[at] for at in gained], [found[at] for at in lost]


def _describe_query(
    evaluation: Evaluation,
    at: int,
    values: tuple[float, float],
    rankings: tuple[np.ndarray, np.ndarray],
    qrels: Qrels,
    texts: tuple[dict[str, str], dict[tuple[str, str], str]],
) -> Query:
    result, query = evaluation.result, evaluation.queries[at]
    pairs = np.flatnonzero(result.query == result.query_ids.index(query))
    grades = qrels[query]

    def docs(ranking: np.ndarray, other: np.ndarray) -> tuple[int | None, list[Doc]]:
        best = pairs[np.argsort(ranking[pairs])]
        first = [
            Doc(int(ranking[i]), int(other[i]), doc, grades.get(doc), cut_text(texts[1].get((query, doc), "")))
            for i, doc in zip(best[:DOCS_SHOWN].tolist(), result.docs[best[:DOCS_SHOWN]].tolist(), strict=True)
        ]
        return find_first_relevant(result.docs[best].tolist(), grades), first

    old, new = rankings
    (first_before, docs_before), (first_after, docs_after) = docs(old, new), docs(new, old)
    text = cut_text(texts[0].get(query, ""))
    return Query(query, text, *values, first_before, first_after, docs_before, docs_after)


def cut_text(text: str) -> str:
    """The beginning of a text, on one line."""
    text = " ".join(text[: 4 * TEXT_LENGTH].split())
    return text if len(text) <= TEXT_LENGTH else text[: TEXT_LENGTH - 1].rstrip() + "\N{HORIZONTAL ELLIPSIS}"
