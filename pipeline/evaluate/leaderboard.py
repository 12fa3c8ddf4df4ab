"""Several results by the same judgements: their fusions beside the first one's, if they ranked the same candidates."""

from collections.abc import Sequence

import numpy as np

from pipeline.evaluate.evaluation import Comparison, Evaluation, compare_pairs
from pipeline.evaluate.result import Result
from pipeline.evaluate.runs import FUSION


def compare_with_first(evaluations: Sequence[Evaluation]) -> list[Comparison]:
    """Every other result's fusion against the first named one's, by every measure, corrected over the results."""
    first, *others = evaluations
    values = {evaluation.name: evaluation.values[FUSION] for evaluation in evaluations}
    return compare_pairs(values, first.measures, [(other.name, first.name) for other in others])


def find_warnings(evaluations: Sequence[Evaluation]) -> list[str]:
    """One line for each result whose candidates are not the first one's, so that more than the rerankers differs. The
    later stages of a result are given another ranking on purpose."""
    first, *others = evaluations
    found = [
        (other.name, describe_difference(first.result, other.result)) for other in others if not other.result.given
    ]
    return [f"{name} and {first.name} differ in more than their rerankers: {how}" for name, how in found if how]


def describe_difference(a: Result, b: Result) -> str:
    """How the candidates of the judged queries differ in two results; empty where they do not."""
    if a.query_ids == b.query_ids and np.array_equal(a.query, b.query) and np.array_equal(a.docs, b.docs):
        other = int((a.first != b.first).sum())
        return f"{other:,} of {len(a.first):,} pairs have another first-stage score" if other else ""
    left, right = _collect_pairs(a), _collect_pairs(b)
    return (
        f"{len(right - left):,} pairs are only in the one, {len(left - right):,} only in "
        f"the other, {len(left & right):,} in both"
    )


def _collect_pairs(result: Result) -> set[tuple[str, str]]:
    return set(zip(result.queries.tolist(), result.docs.tolist(), strict=True))
