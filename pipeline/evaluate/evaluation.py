"""Everything that is computed of one result: measures of its rankings, comparisons of them, and the effect of alpha."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from ir_measures import Judged, Measure, SetR

from pipeline.evaluate.alpha import GRID, CrossValidated, compute_curve, cross_validate, judge_held_out
from pipeline.evaluate.cost import read_cost
from pipeline.evaluate.ids import Met, compare_docs
from pipeline.evaluate.measures import find_depth, make_judge
from pipeline.evaluate.paired import Paired, measure_pairs
from pipeline.evaluate.qrels import Qrels
from pipeline.evaluate.result import Result
from pipeline.evaluate.runs import FIRST_STAGE, FUSION, RERANKER, list_docs, make_rankings
from pipeline.evaluate.significance import Difference, compare, correct_by_holm
from pipeline.fusion import METHODS

TUNED = "tuned fusion"  # its alpha chosen by cross-validation
PAIRS = ((RERANKER, FIRST_STAGE), (FUSION, FIRST_STAGE), (FUSION, RERANKER), (TUNED, FUSION))


@dataclass(frozen=True)
class Comparison:
    """`after` against `before`, by one measure. p_t and p_bootstrap are those of the difference, corrected by Holm over
    the comparisons by this measure."""

    measure: str
    after: str
    before: str
    difference: Difference
    p_t: float | None
    p_bootstrap: float | None

    def figures(self) -> dict[str, Any]:
        raw = asdict(self.difference)
        raw |= {"p_t_uncorrected": raw.pop("p_t"), "p_bootstrap_uncorrected": raw.pop("p_bootstrap")}
        names = {"measure": self.measure, "after": self.after, "before": self.before}
        return names | raw | {"p_t": self.p_t, "p_bootstrap": self.p_bootstrap}


@dataclass(frozen=True)
class Evaluation:
    """A result, judged.

    orders: the rankings (pipeline.evaluate.runs). values: ranking -> (measures x judged queries), the queries in the
    order of `queries`; TUNED is among them unless there is one query. judged_at_10: ranking -> mean share of its first
    ten documents that are judged, over the queries that were found. found: mean share of the relevant documents that
    are candidates at all, so the highest recall that a reranker can reach. met: how many judged documents are. curves:
    fusion method -> (alphas x measures x queries). method: the one by which `chosen` was chosen, on the first measure.
    paired: the measures over pairs of queries.
    """

    name: str
    result: Result
    measures: tuple[Measure, ...]
    queries: list[str]
    orders: dict[str, np.ndarray]
    values: dict[str, np.ndarray]
    judged_at_10: dict[str, float]
    found: float
    met: Met
    curves: dict[str, np.ndarray]
    method: str
    chosen: CrossValidated | None
    comparisons: list[Comparison]
    paired: list[Paired]

    def mean(self, ranking: str) -> np.ndarray:
        """The means of the measures of a ranking, over all judged queries."""
        return self.values[ranking].mean(axis=1)

    def figures(self) -> dict[str, Any]:
        """The figures, ready for JSON."""
        names = [str(measure) for measure in self.measures]
        chosen = self.chosen
        means = {ranking: dict(zip(names, self.mean(ranking).tolist(), strict=True)) for ranking in self.values}
        alpha = {"chosen_by": names[0], "method": self.method}
        return {
            "name": self.name,
            "result": self.result.url,
            "model": self.result.manifest["model"],
            "fusion": self.result.fusion.model_dump(),
            "top_k": self.result.top_k,
            "queries_found": len(self.result.query_ids),
            "pairs": len(self.result.query),
            "unscored": self.result.unscored,
            "means": means,
            "judged_at_10": self.judged_at_10,
            "relevant_found": self.found,
            "judged_docs": self.met.judged,
            "judged_docs_found": self.met.found,
            "comparisons": [comparison.figures() for comparison in self.comparisons],
            "alpha": alpha | {"folds": chosen.alphas, "best_on_all": chosen.best} if chosen else None,
            "paired": [asdict(found) for found in self.paired],
            "curve": {
                method: dict(zip(map(str, GRID), curve[:, 0].mean(axis=1).tolist(), strict=True))
                for method, curve in self.curves.items()
            },
            "cost": asdict(spent) if (spent := read_cost(self.result.manifest)) else None,
        }


def evaluate(
    name: str, result: Result, qrels: Qrels, measures: Sequence[Measure], paired: Sequence[str] = ()
) -> Evaluation:
    """Judges a result by measures, of which the first one chooses alpha.

    paired: names of measures over pairs of queries (pipeline.evaluate.paired).
    Raises UsageError where no judged document is a candidate, or no judged queries are such a pair.
    """
    measures, met = tuple(measures), compare_docs(result, qrels)
    by_measures, deep = make_judge(measures, qrels), find_depth(measures)
    ranked = make_rankings(result)
    runs = {ranking: list_docs(result, order) for ranking, order in ranked.items()}
    values = {ranking: by_measures(found) for ranking, found in runs.items()}
    curves = {
        method: compute_curve(result, result.fusion.model_copy(update={"method": method}), by_measures, deep)
        for method in METHODS
        if method != "none"
    }
    method = result.fusion.method if result.fusion.method in curves else "zscore"
    chosen = cross_validate(curves[method][:, 0])
    if chosen:
        values[TUNED] = judge_held_out(chosen, curves[method])
    at_10, candidates = make_judge([Judged @ 10], qrels), make_judge([SetR], qrels)
    here = np.isin(list(qrels), result.query_ids)
    return Evaluation(
        name=name,
        result=result,
        measures=measures,
        queries=list(qrels),
        orders=ranked,
        values=values,
        judged_at_10={ranking: float(at_10(found)[0, here].mean()) for ranking, found in runs.items()},
        found=float(candidates(runs[FIRST_STAGE]).mean()),
        met=met,
        curves=curves,
        method=method,
        chosen=chosen,
        comparisons=compare_pairs(values, measures, [pair for pair in PAIRS if pair[0] in values]),
        paired=[measure_pairs(measure, runs, qrels) for measure in paired],
    )


def compare_pairs(
    values: dict[str, np.ndarray], measures: Sequence[Measure], pairs: Sequence[tuple[str, str]]
) -> list[Comparison]:
    """Every pair (after, before) by every measure; the family of a correction is one measure's pairs."""
    comparisons = []
    for row, measure in enumerate(measures):
        differences = [compare(values[before][row], values[after][row]) for after, before in pairs]
        p_t, p_bootstrap = (
            correct_by_holm([getattr(found, name) for found in differences]) for name in ("p_t", "p_bootstrap")
        )
        for (after, before), found, *p in zip(pairs, differences, p_t, p_bootstrap, strict=True):
            comparisons.append(Comparison(str(measure), after, before, found, *p))
    return comparisons
