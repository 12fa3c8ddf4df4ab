"""The figures as plain text for a terminal."""

from collections.abc import Sequence

from pipeline.evaluate.evaluation import TUNED, Comparison, Evaluation
from pipeline.evaluate.leaderboard import compare_with_first, find_warnings
from pipeline.evaluate.notes import write_notes
from pipeline.evaluate.runs import FIRST_STAGE, FUSION, RERANKER

COMPARISON_HEADER = ("difference", "95% interval", "p (t)", "p (bootstrap)", "wins", "ties", "losses")


def format_tables(evaluations: Sequence[Evaluation]) -> list[str]:
    """One result as its rankings and their differences; of several, a leaderboard comes first."""
    lines = _format_leaderboard(evaluations) if len(evaluations) > 1 else []
    for evaluation in evaluations:
        lines += _format_result(evaluation)
    return lines


def _format_result(evaluation: Evaluation) -> list[str]:
    own, chosen = evaluation.result.fusion, evaluation.chosen
    names = {FUSION: f"{FUSION} ({own.method}, alpha {own.alpha:g})"}
    columns = [str(measure) for measure in evaluation.measures]
    rows = [
        [
            names.get(name, name),
            *(f"{mean:.3f}" for mean in evaluation.mean(name)),
            f"{evaluation.judged_at_10[name]:.0%}" if name in evaluation.judged_at_10 else "",
        ]
        for name in evaluation.values
    ]
    queries, pairs = len(evaluation.queries), len(evaluation.result.query)
    lines = ["", f"{evaluation.name}: {queries:,} judged queries, {pairs:,} pairs", ""]
    lines += align([["", *columns, "judged at 10"], *rows])
    lines += ["", *_format_differences([found for found in evaluation.comparisons if found.measure == columns[0]])]
    lines += [""]
    if chosen:
        folds = ", ".join(f"{alpha:g}" for alpha in chosen.alphas)
        lines += [
            f"{TUNED}: {evaluation.method}, each query with the alpha that was best on the other folds ({folds}).",
            f"Best on all queries, for other data of the kind: alpha {chosen.best:g}.",
        ]
    lines += [f"{evaluation.found:.0%} of a query's relevant documents are candidates; reranking cannot find more."]
    return lines + [f"Note: {note}" for note in write_notes(evaluation)]


def _format_leaderboard(evaluations: Sequence[Evaluation]) -> list[str]:
    first = evaluations[0]
    columns = [str(measure) for measure in first.measures]
    rows = [
        [
            one.name,
            *(f"{mean:.3f}" for mean in one.mean(FUSION)),
            f"{one.mean(RERANKER)[0]:.3f}",
            f"{one.mean(TUNED)[0]:.3f}" if TUNED in one.values else "",
        ]
        for one in sorted(evaluations, key=lambda one: -one.mean(FUSION)[0])
    ]
    unlike = find_warnings(evaluations)
    if not unlike:
        rows.append([FIRST_STAGE, *(f"{mean:.3f}" for mean in first.mean(FIRST_STAGE)), "", ""])
    what = "stage" if any(one.result.given for one in evaluations) else "result"
    lines = ["", f"The fusion of each {what}; then {columns[0]} of its reranker and of its tuned fusion", ""]
    lines += align([["", *columns, RERANKER, TUNED], *rows])
    lines += [
        "",
        *_format_differences([found for found in compare_with_first(evaluations) if found.measure == columns[0]]),
    ]
    return lines + [f"Warning: {line}" for line in unlike]


def _format_differences(comparisons: Sequence[Comparison]) -> list[str]:
    """By one measure."""
    rows = [[f"{found.after} - {found.before}", *_format_comparison(found)] for found in comparisons]
    return align([[comparisons[0].measure, *COMPARISON_HEADER], *rows])


def _format_comparison(comparison: Comparison) -> list[str]:
    found = comparison.difference
    between = "" if found.low is None else f"{found.low:+.3f} to {found.high:+.3f}"
    counts = [f"{count:,}" for count in (found.wins, found.ties, found.losses)]
    return [f"{found.mean:+.3f}", between, _format_p(comparison.p_t), _format_p(comparison.p_bootstrap), *counts]


def _format_p(value: float | None) -> str:
    return "" if value is None else "< 0.001" if value < 0.001 else f"{value:.3f}"


def align(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows of equally many cells as lines: the first column to the left, all others to the right."""
    first, *others = (max(map(len, column)) for column in zip(*rows, strict=True))
    lines = ([row[0].ljust(first), *map(str.rjust, row[1:], others)] for row in rows)
    return ["  ".join(line).rstrip() for line in lines]
