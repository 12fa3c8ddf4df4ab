"""Judgements whose ids the result does not have, in whole or nearly so."""

from pathlib import Path

import pytest

from pipeline.errors import UsageError
from pipeline.evaluate.evaluation import evaluate
from pipeline.evaluate.ids import Met, compare_docs
from pipeline.evaluate.measures import parse_measures
from pipeline.evaluate.notes import write_notes
from pipeline.evaluate.qrels import Qrels
from pipeline.evaluate.result import Result, read_judged_pairs
from tests.results import ranked, some_scores, write_result

QUERIES, DOCS = 4, 30


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> Result:
    """Candidates d0 to d29 of the queries q0 to q3."""
    return read_judged_pairs(
        write_result(tmp_path_factory.mktemp("ids"), ranked(some_scores(QUERIES, DOCS))), {f"q{i}" for i in range(9)}
    )


def judge(doc: str, docs: range = range(20), queries: int = QUERIES) -> Qrels:
    """Grades of documents whose id is written as `doc` says."""
    return {f"q{query}": {doc.format(i): 1 for i in docs} for query in range(queries)}


OTHER = {"D{}": ("D0", "d0"), "doc-{:03}": ("doc-000", "d0"), "d{}.0": ("d0.0", "d0"), "D{0} ": ("D0 ", "d0")}


@pytest.mark.parametrize("doc", OTHER)
def test_no_judged_document_is_an_error_that_shows_both_sides(doc: str, result: Result) -> None:
    with pytest.raises(UsageError) as error:
        evaluate("one", result, judge(doc), parse_measures(["nDCG@10"]))
    theirs, ours = OTHER[doc]
    assert str(error.value) == (
        f"{result.url}: none of 80 judged documents are candidates of their queries: {theirs!r} in the judgements, "
        f"{ours!r} in the result; are the ids written alike?"
    )


@pytest.mark.parametrize(
    "found, other, told",
    [(1, 99, True), (4, 96, True), (5, 95, False), (50, 50, False), (30, 0, False)],
)
def test_hardly_any_judged_document_is_told(found: int, other: int, told: bool, result: Result) -> None:
    qrels = {"q0": judge("d{}", range(found))["q0"] | judge("D{}", range(other))["q0"]}
    found = min(found, DOCS)
    other = sum(map(len, qrels.values())) - found
    judged = evaluate("one", read_judged_pairs(result.url, qrels), qrels, parse_measures(["nDCG@10"]))
    assert (judged.met.judged, judged.met.found) == (found + other, found)
    note = (
        f"{found} of {found + other} judged documents are candidates of their queries: 'D0' in the judgements, 'd0' in"
    )
    assert any(line.startswith(note) for line in write_notes(judged)) == told


def test_a_document_of_another_query_is_not_found(result: Result) -> None:
    qrels = {"q0": {"d0": 1}, "q1": {"d99": 1, "d1": 0}, "q2": {}, "q3": {}}
    assert compare_docs(result, qrels) == Met(3, 2, ("d99", "d9"))


@pytest.mark.parametrize("queries, asked", [(5, False), (8, False), (9, True), (40, True)])
def test_queries_that_are_missing_are_shown_and_many_are_asked_about(queries: int, asked: bool, result: Result) -> None:
    judged = evaluate("one", result, judge("d{}", queries=queries), parse_measures(["nDCG@10"]))
    (note,) = [line for line in write_notes(judged) if "judged queries are not in the result" in line]
    assert note.startswith(f"{queries - QUERIES} of {queries} judged queries are not in the result; they count as 0.")
    ids = f" {'q10' if queries > 10 else 'q4'!r} in the judgements, 'q0' in the result; are the ids written alike?"
    assert note.endswith(ids) == asked
    assert note.endswith("they count as 0.") != asked


def test_the_command_ends_with_one_line(
    result: Result, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    from jobs.evaluate import main

    monkeypatch.chdir(tmp_path)
    (tmp_path / "qrels").write_text("q0 0 D1 1\n")
    assert main([result.url, "--qrels", "qrels"]) == 2
    out, error = capsys.readouterr()
    assert error == (
        f"rayrank: {result.url}: none of 1 judged documents are candidates of their queries: 'D1' in the judgements, "
        "'d1' in the result; are the ids written alike?\n"
    )
    assert out == "" and not (tmp_path / "report.html").exists()
