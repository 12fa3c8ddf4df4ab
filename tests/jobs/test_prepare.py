"""jobs/prepare.py: arguments in, shards and one line of figures out; what is wrong is one line and an exit code."""

import json
import subprocess
import sys
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jobs.prepare import main
from pipeline.cluster.in_process import InProcess
from pipeline.output.lease import hold
from pipeline.prepare.run import prepare
from pipeline.storage.folder import Folder
from tests.conftest import ROOT


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A BEIR folder, two runs of it, and the same as MS MARCO and as Parquet has it."""
    monkeypatch.setattr("jobs.prepare.prepare", partial(prepare, cluster=InProcess()))  # one process, and no Ray
    docs = [{"_id": f"d{i}", "title": f"T{i}", "text": f"text {i}"} for i in range(4)]
    queries = [{"_id": "q1", "text": "one"}, {"_id": "q2", "text": "two"}]
    (tmp_path / "beir").mkdir()
    for name, rows in (("corpus", docs), ("queries", queries)):
        (tmp_path / f"beir/{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "bm25.trec").write_text(
        "q1 Q0 d0 1 3 t\nq1 Q0 d1 2 2 t\nq2 Q0 d3 1 1 t\nq3 Q0 d0 1 1 t\nq2 Q0 d9 2 0 t\n"
    )
    (tmp_path / "bad.trec").write_text("q1 Q0 d0 1 3 t\nq1 Q0 d1 2 t\n")
    (tmp_path / "empty.trec").write_text("")
    (tmp_path / "collection.tsv").write_text("".join(f"d{i}\ttext {i}\n" for i in range(4)))
    (tmp_path / "queries.tsv").write_text("q1\tone\nq2\ttwo\n")
    dense = {"qid": ["q1", "q2"], "pid": ["d1", "d2"], "s": [0.9, 0.8]}
    pq.write_table(pa.table(dense), tmp_path / "dense.parquet")
    return tmp_path


BEIR = "--beir {place}/beir --run {place}/bm25.trec"
FILES = "--queries {place}/queries.tsv --corpus {place}/collection.tsv"


def prepared(place: Path, arguments: str) -> int:
    return main(["--output", f"{place}/pairs", *arguments.format(place=place).split()])


def pairs(place: Path) -> list[dict]:
    return [row for path in sorted((place / "pairs").glob("*.parquet")) for row in pq.read_table(path).to_pylist()]


def test_a_trec_run_and_a_beir_folder(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert prepared(place, BEIR) == 0
    assert pairs(place) == [
        {"query_id": "q1", "query": "one", "doc_id": "d0", "doc": "text 0", "title": "T0", "score": 3.0},
        {"query_id": "q1", "query": "one", "doc_id": "d1", "doc": "text 1", "title": "T1", "score": 2.0},
        {"query_id": "q2", "query": "two", "doc_id": "d3", "doc": "text 3", "title": "T3", "score": 1.0},
    ]
    stdout, stderr = capsys.readouterr()
    assert f"input.path={place}/pairs output.path=... 'input.columns={{title: title}}'" in stderr.splitlines()[-1]
    figures = json.loads(stdout.splitlines()[-1])
    expected = {"output": f"{place}/pairs", "queries": 2, "pairs": 3, "shards": 1, "titles": True}
    expected |= {"unknown_queries": 1, "unknown_docs": 1, "unknown_query_rows": 1, "unknown_doc_rows": 1}
    assert figures.items() >= expected.items()
    assert (place / "pairs/_unknown/queries-00000.tsv").read_text() == "query_id\trows\nq3\t1\n"
    assert (place / "pairs/_unknown/docs-00000.tsv").read_text() == "doc_id\trows\nd9\t1\n"


def test_two_runs_of_a_collection_with_columns_by_name(place: Path) -> None:
    arguments = FILES + " --run {place}/bm25.trec --run {place}/dense.parquet --column score=s --depth 1"
    assert prepared(place, arguments) == 0
    found = [(row["query_id"], row["doc_id"], row["score"]) for row in pairs(place)]
    assert found == [("q1", "d1", 1 / 62 + 1 / 61), ("q2", "d3", 1 / 61)]  # d2 is as good, and d3 sorts above it
    assert "title" not in pairs(place)[0]


def test_a_format_is_what_is_said(place: Path) -> None:
    (place / "run").write_text("q1\td1\t1\nq1\td0\t2\n")
    assert prepared(place, FILES + " --run {place}/run --run-format msmarco") == 0
    assert [(row["doc_id"], row["score"]) for row in pairs(place)] == [("d1", 1.0), ("d0", 0.5)]


WRONG = {
    "no run file": ("--beir {place}/beir --run {place}/none.trec", "--run = '{place}/none.trec': no such file"),
    "no corpus": ("--run {place}/bm25.trec --queries {place}/queries.tsv", "give --queries and --corpus, or --beir"),
    "both": (BEIR + " --corpus {place}/collection.tsv", "--beir stands for --queries and --corpus"),
    "an empty beir folder": ("--beir {place}/none --run {place}/bm25.trec", "--beir = '{place}/none': no such file"),
    "a bad line": (FILES + " --run {place}/bad.trec", "{place}/bad.trec: line 2: has 5 columns, not 6: q1 Q0 d1 2 t"),
    "a column that is not there": (FILES + " --run {place}/dense.parquet", "has no column 'score' for score"),
    "a name that is none": (BEIR + " --column passage=text", "--column passage: give NAME=COLUMN"),
    "a column without a name": (BEIR + " --column doc", "--column doc: give NAME=COLUMN"),
    "a format that is not named": (FILES + " --run {place}/queries.tsv --corpus {place}/beir", "holds files of"),
    "a run without rows": (FILES + " --run {place}/empty.trec", "--run = {place}/empty.trec: no rows there"),
    "an output of an unknown protocol": (
        BEIR + " --output s4://bucket/pairs",
        "--output = 's4://bucket/pairs': Protocol",
    ),
    "an output where nobody can write": (
        BEIR + " --output /proc/pairs",
        "--output = '/proc/pairs': cannot write there",
    ),
    "nothing in common": (
        "--run {place}/bm25.trec --queries {place}/queries.tsv --corpus {place}/beir/queries.jsonl",
        "no row of the runs has a known document",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_one_line_and_code_2(name: str, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "beir/notes.tsv").write_text("x")
    arguments, says = WRONG[name]
    assert prepared(place, arguments) == 2
    stdout, stderr = capsys.readouterr()
    last = stderr.splitlines()[-1]
    assert stdout == "" and last.startswith("rayrank: ") and says.format(place=place) in last


def test_shards_that_are_there_are_not_replaced_unasked(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert prepared(place, BEIR) == 0
    assert prepared(place, BEIR + " --depth 1") == 2
    assert "has shards already; --overwrite replaces them" in capsys.readouterr().err
    assert prepared(place, BEIR + " --depth 1 --overwrite") == 0
    assert len(pairs(place)) == 2


def test_a_second_run_of_the_same_output_ends_with_code_4(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "pairs").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pipeline.prepare.run.hold", partial(hold, beat=0.2))
        with hold(Folder(f"{place}/pairs"), beat=0.2):
            assert prepared(place, BEIR) == 4


@pytest.mark.parametrize("depth", ["0", "-3", "many"])
def test_a_depth_is_a_number_above_0(depth: str, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as error:
        prepared(place, f"{BEIR} --depth {depth}")
    assert error.value.code == 2 and "--depth" in capsys.readouterr().err


def test_anything_else_is_code_1(
    place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobs.prepare.prepare", lambda order: 1 / 0)
    assert prepared(place, BEIR) == 1
    line = "ZeroDivisionError: division by zero; the same command starts from the beginning\n"
    assert capsys.readouterr().err.endswith(line)


def test_a_shell_sees_the_same(place: Path) -> None:
    arguments = (FILES + " --run {place}/none.trec --output {place}/pairs").format(place=place).split()
    done = subprocess.run([sys.executable, "jobs/prepare.py", *arguments], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1 and "none.trec" in done.stderr
