"""The figures of one result or more as data for JSON."""

from collections.abc import Sequence
from typing import Any

from pipeline.evaluate.evaluation import Evaluation
from pipeline.evaluate.leaderboard import compare_with_first, find_warnings
from pipeline.evaluate.notes import write_notes
from pipeline.evaluate.qrels import Qrels
from pipeline.evaluate.runs import FIRST_STAGE, FUSION


def collect_figures(evaluations: Sequence[Evaluation], qrels: Qrels) -> dict[str, Any]:
    """All that was computed, but for the values of single queries' documents."""
    several = len(evaluations) > 1
    return {
        "queries": len(qrels),
        "judgements": sum(map(len, qrels.values())),
        "measures": [str(measure) for measure in evaluations[0].measures],
        "results": [
            evaluation.figures() | {"notes": write_notes(evaluation), "by_query": _collect_by_query(evaluation)}
            for evaluation in evaluations
        ],
        "against_first": [found.figures() for found in compare_with_first(evaluations)] if several else [],
        "warnings": find_warnings(evaluations),
    }


def _collect_by_query(evaluation: Evaluation) -> dict[str, dict[str, dict[str, float]]]:
    """Ranking -> measure -> query_id -> value."""
    return {
        ranking: {
            str(measure): dict(zip(evaluation.queries, row.tolist(), strict=True))
            for measure, row in zip(evaluation.measures, values, strict=True)
        }
        for ranking, values in evaluation.values.items()
    }


def collect_main_figures(evaluations: Sequence[Evaluation]) -> dict[str, Any]:
    """Those that a schedule or a test wants to look at: means, the gain of the fusion, and alpha."""
    return {
        "queries": len(evaluations[0].queries),
        "results": [_collect_main(evaluation) for evaluation in evaluations],
        "warnings": find_warnings(evaluations),
    }


def _collect_main(evaluation: Evaluation) -> dict[str, Any]:
    figures = evaluation.figures()
    gain = next(found for found in evaluation.comparisons if (found.after, found.before) == (FUSION, FIRST_STAGE))
    return {name: figures[name] for name in ("name", "result", "means", "alpha")} | {"gain": gain.figures()}
