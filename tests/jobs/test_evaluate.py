"""jobs/evaluate.py: what it prints and writes, and how it ends where something cannot be used."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from jobs.evaluate import main
from tests.conftest import ROOT
from tests.results import ranked, some_qrels, some_scores, write_result

SCORES, QRELS = some_scores(6, 12), some_qrels(6, 12)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with results `a` and `b`, and judgements `qrels`."""
    monkeypatch.chdir(tmp_path)
    write_result(tmp_path / "a", ranked(SCORES))
    write_result(tmp_path / "b", ranked(SCORES, "rrf", 0.5), fusion={"method": "rrf", "alpha": 0.5})
    lines = [f"{query} 0 {doc} {grade}\n" for query, docs in QRELS.items() for doc, grade in docs.items()]
    (tmp_path / "qrels").write_text("".join(lines))
    return tmp_path


def test_as_it_is_started(place: Path) -> None:
    command = [sys.executable, str(ROOT / "jobs/evaluate.py"), "a", "--qrels", "qrels"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    last = json.loads(done.stdout.splitlines()[-1])
    assert (last["queries"], last["report"]) == (6, "report.html")
    assert (place / "report.html").read_text().startswith("<!doctype html>")
    assert sorted(path.name for path in place.iterdir()) == ["a", "b", "qrels", "report.html"]


def test_measures_report_and_json_as_asked(place: Path, capsys: pytest.CaptureFixture) -> None:
    measures = ["--measure", "P@3", "--measure", "RR(rel=2)@5"]
    assert main(["a", "--qrels", "qrels", *measures, "--report", "x/r.html", "--json", "x/f.json"]) == 0
    figures = json.loads((place / "x/f.json").read_text())
    assert figures["measures"] == ["P@3", "RR(rel=2)@5"]
    assert figures["results"][0]["alpha"]["chosen_by"] == "P@3"
    assert capsys.readouterr().out.splitlines()[3].split()[:2] == ["P@3", "RR(rel=2)@5"]
    assert (place / "x/r.html").exists()


@pytest.mark.parametrize(
    "header, told",
    [
        ("query-id\tdoc_id\tscore", "rayrank: qrels: query_id is 'query-id', relevance is 'score'\n"),
        ("query_id\tdoc_id\trelevance", ""),
        ("qid\tdoc_id\trelevance", "rayrank: qrels: query_id is 'qid'\n"),
    ],
)
def test_the_columns_of_the_judgements_are_told(
    header: str, told: str, place: Path, capsys: pytest.CaptureFixture
) -> None:
    lines = [f"{query}\t{doc}\t{grade}\n" for query, docs in QRELS.items() for doc, grade in docs.items()]
    (place / "qrels").write_text("".join([f"{header}\n", *lines]))
    assert main(["a", "--qrels", "qrels"]) == 0
    assert capsys.readouterr().err == told


def test_a_leaderboard(place: Path, capsys: pytest.CaptureFixture) -> None:
    assert main(["a", "b", "--qrels", "qrels"]) == 0
    printed = capsys.readouterr().out
    assert "The fusion of each result" in printed
    assert [result["name"] for result in json.loads(printed.splitlines()[-1])["results"]] == ["a", "b"]


def test_results_are_left_as_they_are(place: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in (place / "a").rglob("*")}
    assert main(["a", "--qrels", "qrels"]) == 0
    assert {path: path.stat().st_mtime_ns for path in (place / "a").rglob("*")} == before


WRONG = {
    "no result": (["c", "--qrels", "qrels"], "c: no committed result: there is no manifest.json"),
    "no judgements": (["a", "--qrels", "missing"], "missing: cannot read the judgements: "),
    "an unknown measure": (["a", "--qrels", "qrels", "--measure", "ndgc@10"], "--measure 'ndgc@10': measure not found"),
    "a result twice": (["a", "a", "--qrels", "qrels"], "['a', 'a']: the same result is named twice"),
    "a report that cannot be written": (["a", "--qrels", "qrels", "--report", "qrels/r"], "qrels/r: cannot be written"),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_cannot_be_used_is_one_line_and_exit_code_2(place: Path, what: str, capsys: pytest.CaptureFixture) -> None:
    arguments, message = WRONG[what]
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"rayrank: {message}")
    assert len(error.splitlines()) == 1
