"""Measures of rankings by judgements, with ir_measures."""

from collections.abc import Callable, Sequence
from subprocess import CalledProcessError

import ir_measures
import numpy as np
from ir_measures import Measure
from ir_measures.measures.base import MeanAgg

from pipeline.errors import UsageError, one_line
from pipeline.evaluate.qrels import Qrels
from pipeline.evaluate.runs import Run

DEFAULT_MEASURES = ("nDCG@10", "RR@10", "R@10", "AP@100")
Judge = Callable[[Run], np.ndarray]


def parse_measures(names: Sequence[str]) -> tuple[Measure, ...]:
    """Measures by their names, such as `nDCG@10` or `RR(rel=2)@10`; one that is named twice counts once.

    Raises UsageError for a name that ir_measures does not know, or cannot compute as it is installed.
    """
    return tuple(dict.fromkeys(_parse(name) for name in names))


def _parse(name: str) -> Measure:
    try:
        measure = ir_measures.parse_measure(name)
        ir_measures.evaluator([measure], {})
    except (NameError, ValueError, KeyError, AssertionError, RuntimeError) as error:
        raise UsageError(
            f"--measure {name!r}: {one_line(error)}; see https://ir-measur.es/en/latest/measures.html"
        ) from None
    if not isinstance(measure.aggregator(), MeanAgg):
        raise UsageError(f"--measure {name!r}: is a sum over queries, and means are shown here; take another")
    return measure


def find_depth(measures: Sequence[Measure]) -> int | None:
    """How many documents of a query these measures look at; None where one of them looks at all, as one does that
    leaves out what is not judged before it cuts."""
    bounded = [measure for measure in measures if not measure.params.get("judged_only")]
    cutoffs = [measure.params["cutoff"] for measure in bounded if "cutoff" in measure.params]
    return max(cutoffs) if len(cutoffs) == len(measures) else None


def find_first_relevant(docs: Sequence[str], grades: dict[str, int]) -> int | None:
    """The rank of the first document with a grade above 0, or None."""
    return next((rank for rank, doc in enumerate(docs, 1) if grades.get(doc, 0) > 0), None)


def make_judge(measures: Sequence[Measure], qrels: Qrels) -> Judge:
    """A function from a run to its values, (measures x judged queries, in the order of `qrels`).

    The run has judged queries only. All judged queries count; one that the run lacks has the measure's default, 0.
    """
    # Queries go by their numbers, for some of the programs that ir_measures starts take no other ids.
    number = {query: str(row) for row, query in enumerate(qrels)}
    evaluator = ir_measures.evaluator(measures, {number[query]: grades for query, grades in qrels.items()})
    row = {measure: at for at, measure in enumerate(measures)}

    def values(run: Run) -> np.ndarray:
        # Measures sort by score: a negative rank stands in, for the run's own scores may tie.
        scores = {number[query]: {doc: -float(rank) for rank, doc in enumerate(run[query])} for query in run}
        found = np.repeat([[float(measure.DEFAULT)] for measure in measures], len(qrels), axis=1)
        try:
            for metric in evaluator.iter_calc(scores):
                found[row[metric.measure], int(metric.query_id)] = metric.value
        except CalledProcessError as error:
            names = ", ".join(map(str, measures))
            raise UsageError(f"--measure: {names}: the program that computes one of them failed: {error}") from None
        return found

    return values
