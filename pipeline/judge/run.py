"""A judge's result -> qrels, and how they compare with other judgements of the same queries."""

import os
from dataclasses import dataclass
from typing import Any

from pipeline.errors import UsageError
from pipeline.evaluate.measures import parse_measures
from pipeline.evaluate.qrels import Qrels, read_qrels
from pipeline.evaluate.table import align
from pipeline.judge.agreement import Agreement, Confusion, compute_agreement, split_at
from pipeline.judge.grade import Grading
from pipeline.judge.qrels import Judged, describe, write_qrels
from pipeline.judge.systems import Systems, compare_systems
from pipeline.storage.urls import is_local, make_absolute

MEASURE = "nDCG@10"


@dataclass(frozen=True)
class Arguments:
    """result: the output.path of a run. score: its column. against: a file of judgements. least_grade: from which a
    pair is relevant. runs: systems, results or TREC runs, which `measure` judges."""

    result: str
    output: str
    grading: Grading
    score: str = "rerank_score"
    against: str | None = None
    least_grade: int = 1
    runs: tuple[str, ...] = ()
    measure: str = MEASURE


@dataclass(frozen=True)
class Compared:
    """Judgements of a result beside given ones. both: pairs that both judge; only_result, only_given: one alone."""

    both: int
    only_result: int
    only_given: int
    agreement: Agreement
    relevant: Agreement
    systems: Systems | None


def judge(arguments: Arguments) -> tuple[list[str], dict[str, Any]]:
    """Writes the qrels. Returns lines for people, and the figures.

    It holds a batch of the result in memory; the judgements that these are compared with; and where systems are judged,
    both. Raises UsageError where an argument or an input is wrong.
    """
    if arguments.runs and not arguments.against:
        raise UsageError("--runs: systems are compared under two judgements; --against names the others")
    parse_measures([arguments.measure])
    output = make_absolute(arguments.output)
    for key, path in (("--against", arguments.against), *(("--runs", run) for run in arguments.runs)):
        if path and _follow_links(path) == _follow_links(output):
            raise UsageError(f"--output = {arguments.output!r}: is a file of {key}, which would be lost")
    given = read_qrels(arguments.against) if arguments.against else {}
    judged = write_qrels(make_absolute(arguments.result), output, arguments.grading, arguments.score, given)
    grades = dict(sorted(judged.grades.items()))
    figures: dict[str, Any] = {
        "output": arguments.output,
        "rows": judged.rows,
        "queries": judged.queries,
        "judged": judged.grades.total(),
        "grades": {str(grade): pairs for grade, pairs in grades.items()},
        "without": dict(judged.without.most_common()),
    }
    lines = [f"{judged.grades.total():,} of {judged.rows:,} pairs judged, {judged.queries:,} queries", ""]
    lines += align([["grade", *map(str, grades)], ["pairs", *(f"{pairs:,}" for pairs in grades.values())]])
    if judged.without:
        lines += ["", f"without a judgement: {describe(judged.without)}"]
    if arguments.against:
        compared = _compare(arguments, given, judged)
        lines += _format_comparison(arguments, judged.confusion, compared)
        figures["against"] = _collect_figures(arguments, judged.confusion, compared)
    return lines, figures


def _follow_links(path: str) -> str:
    return make_absolute(os.path.realpath(path) if is_local(path) and "://" not in path else path)


def _compare(arguments: Arguments, given: Qrels, judged: Judged) -> Compared:
    both, systems = judged.confusion.total(), None
    if arguments.runs:
        own = read_qrels(make_absolute(arguments.output))
        systems = compare_systems([*arguments.runs], arguments.measure, given, own)
    return Compared(
        both=both,
        only_result=judged.grades.total() - both,
        only_given=sum(map(len, given.values())) - both,
        agreement=compute_agreement(judged.confusion),
        relevant=compute_agreement(split_at(judged.confusion, arguments.least_grade)),
        systems=systems,
    )


def _list_grades(confusion: Confusion) -> tuple[list[int], list[int]]:
    """The grades that were given, and those of the judge."""
    return sorted({given for given, _ in confusion}), sorted({judged for _, judged in confusion})


def _format_comparison(arguments: Arguments, confusion: Confusion, compared: Compared) -> list[str]:
    rows, columns = _list_grades(confusion)
    lines = [
        "",
        f"against {arguments.against}: {compared.both:,} pairs that both judge; {compared.only_result:,} only the "
        f"result, {compared.only_given:,} only the given judgements",
        "",
        *align(
            [
                ["given \\ judge", *map(str, columns)],
                *([str(row), *(f"{confusion[row, column]:,}" for column in columns)] for row in rows),
            ]
        ),
        "",
        f"all grades: {_format_agreement(compared.agreement)}",
        f"relevant from {arguments.least_grade} on: {_format_agreement(compared.relevant)}",
    ]
    if systems := compared.systems:
        means = sorted(systems.means.items(), key=lambda item: -item[1][0])
        head = [f"{systems.measure}, {systems.queries:,} queries", "given", "judge"]
        lines += ["", *align([head, *([name, *(f"{mean:.3f}" for mean in both)] for name, both in means)]), ""]
        lines += [f"Kendall's tau-b of the two orders: {_format_number(systems.tau)}"]
    return lines


def _format_agreement(agreement: Agreement) -> str:
    return f"{agreement.share:.1%} agree, Cohen's kappa {_format_number(agreement.kappa)}"


def _format_number(value: float | None) -> str:
    return "has no value" if value is None else f"{value:.3f}"


def _collect_figures(arguments: Arguments, confusion: Confusion, compared: Compared) -> dict[str, Any]:
    rows, columns = _list_grades(confusion)
    figures: dict[str, Any] = {
        "qrels": arguments.against,
        "both": compared.both,
        "only_result": compared.only_result,
        "only_given": compared.only_given,
        "confusion": {str(row): {str(column): confusion[row, column] for column in columns} for row in rows},
        "agreement": compared.agreement.share,
        "kappa": compared.agreement.kappa,
        "min_grade": arguments.least_grade,
        "relevant_agreement": compared.relevant.share,
        "relevant_kappa": compared.relevant.kappa,
    }
    if systems := compared.systems:
        figures |= {"measure": systems.measure, "shared_queries": systems.queries, "systems": systems.means}
        figures["tau"] = systems.tau
    return figures
