"""Measures over pairs of queries: whether a ranking follows what changed from one query to the other.

The ids of a pair are alike but for their ends. A pair of which the result lacks a query is left out, and counted.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from pipeline.errors import UsageError
from pipeline.evaluate.qrels import Qrels
from pipeline.evaluate.runs import Run

Measure = Callable[[Run, Qrels, str, str], float | None]  # run, judgements, the two queries; None: they show nothing


@dataclass(frozen=True)
class Paired:
    """values: ranking -> the mean of a measure over pairs of queries. missing: pairs that the result does not have."""

    measure: str
    pairs: int
    missing: int
    values: dict[str, float]


def compute_p_mrr(run: Run, qrels: Qrels, original: str, changed: str) -> float | None:
    """How much lower those documents stand that a changed instruction makes irrelevant, from -1 to 1.

    With the ranks r before and s after it is 1 - r/s for one that went down, s/r - 1 for one that went up, and 0 for
    one that stayed; of several documents the mean. Source: FollowIR (Weller et al., arXiv 2403.15246).
    """
    docs = [doc for doc, grade in qrels[original].items() if grade > 0 and qrels[changed].get(doc, 0) <= 0]
    ranks = [(_find_rank(run[original], doc), _find_rank(run[changed], doc)) for doc in docs]
    changes = [after / before - 1 if after < before else 1 - before / after for before, after in ranks]
    return float(np.mean(changes)) if changes else None


def compute_accuracy(run: Run, qrels: Qrels, one: str, other: str) -> float | None:
    """1 where each of two queries has its own relevant document above the other's, else 0.

    Source: NevIR (Weller, Lawrie and Van Durme, EACL 2024), pairwise accuracy; 0.25 is chance.
    """
    mine, yours = ({doc for doc, grade in qrels[query].items() if grade > 0} for query in (one, other))
    mine, yours = mine - yours, yours - mine
    if not mine or not yours:
        return None
    return float(_is_above(run[one], mine, yours) and _is_above(run[other], yours, mine))


PAIRED: dict[str, tuple[Measure, str, str]] = {  # name -> how it is computed, and the ends of the two queries' ids
    "p-MRR": (compute_p_mrr, "-og", "-changed"),
    "accuracy": (compute_accuracy, "_q1", "_q2"),
}


def measure_pairs(name: str, runs: dict[str, Run], qrels: Qrels) -> Paired:
    """A measure of each ranking. Raises UsageError where there is no pair to compare."""
    compute, *ends = PAIRED[name]
    stems = [query.removesuffix(ends[0]) for query in qrels if query.endswith(ends[0])]
    judged = [(stem + ends[0], stem + ends[1]) for stem in stems if stem + ends[1] in qrels]
    here = next(iter(runs.values()))
    pairs = [pair for pair in judged if here.keys() >= {*pair}]
    values: dict[str, float] = {}
    for ranking, run in runs.items():
        found = [value for pair in pairs if (value := compute(run, qrels, *pair)) is not None]
        if not found:
            where = f"among {len(judged):,} of the judgements, the result has" if judged else "the judgements have"
            raise UsageError(f"--paired {name}: {where} no pair of queries X{ends[0]} and X{ends[1]} to compare")
        values[ranking] = float(np.mean(found))
    return Paired(name, len(found), len(judged) - len(pairs), values)


def describe_paired(paired: Paired) -> str:
    """One line with the values of all rankings."""
    values = ", ".join(f"{ranking} {value:.3f}" for ranking, value in paired.values.items())
    missing = f"; {paired.missing:,} more are not in the result, and are left out" if paired.missing else ""
    return f"{paired.measure} over {paired.pairs:,} pairs of queries: {values}{missing}."


def _find_rank(docs: list[str], doc: str) -> int:
    """The rank of a document, from 1; one below the last if it is not there."""
    return docs.index(doc) + 1 if doc in docs else len(docs) + 1


def _is_above(docs: list[str], these: set[str], those: set[str]) -> bool:
    return min(_find_rank(docs, doc) for doc in these) < min(_find_rank(docs, doc) for doc in those)
