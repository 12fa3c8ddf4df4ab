"""The lines of a run about its input: everything that is passed over, and everything that looks odd."""

import shutil
from pathlib import Path

import pyarrow as pa
import pytest

from pipeline.input.result import read_result
from pipeline.storage.folder import Folder
from tests import tiny
from tests.pipeline.conftest import SMALL, Run, pairs, ranked, write


def test_files_passed_over_are_told_of_and_in_the_manifest(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write(pairs(20), tmp_path / "in", 2)
    (tmp_path / "in" / "001.parquet").rename(tmp_path / "in" / "001.parq")
    assert run(folder)["rows"] == 10
    (line,) = (line for line in capsys.readouterr().err.splitlines() if "passed over" in line)
    assert line == f"rayrank: files passed over: 1 that {folder}/*.parq would read"
    manifest = read_result(Folder(str(tmp_path / "out")))
    assert manifest and manifest["passed_over"] == {f"{folder}/*.parq": 1}


def test_carried_columns_of_nulls_go_with_those_of_any_type(run: Run, tmp_path: Path) -> None:
    rows = pairs(8)
    for name, urls in (("a", [None]), ("b", ["u", None]), ("c", [None])):
        url = pa.array(urls * (8 // len(urls)))
        year = pa.array([2026] * 8) if name == "c" else pa.nulls(8)
        ids = pa.array([f"{name}{i}" for i in range(8)])
        table = rows.set_column(2, "doc_id", ids).append_column("url", url).append_column("year", year)
        write(table, tmp_path / "in" / f"{name}.parquet", 1)
    for more in ({}, {"sizes": SMALL}):
        shutil.rmtree(tmp_path / "out", ignore_errors=True)
        run(str(tmp_path / "in"), output={"columns": ["url", "year"]}, run={"max_failed": 0.5}, more=more)
        found = ranked(str(tmp_path / "out")).to_pandas()
        assert {*found[found.url.notna()].doc_id} == {f"b{i}" for i in range(0, 8, 2)}
        assert {*found[found.year == 2026].doc_id} == {f"c{i}" for i in range(8)}


def make_distances() -> pa.Table:
    """Five queries, one of them with two texts, and four documents of each, the nearest first."""
    rows = [
        {"query_id": f"q{q}", "query": f"question {q}{'?' if q == d == 2 else ''}", "doc_id": f"d{d}", "score": d / 7}
        for q in range(5)
        for d in range(4)
    ]
    return pa.Table.from_pylist(rows).append_column("doc", pa.array(["text"] * 20))


def test_queries_with_several_texts_and_distances_are_told_of(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write(make_distances(), tmp_path / "in", 1)
    for more in ({}, {"sizes": SMALL}):
        shutil.rmtree(tmp_path / "out", ignore_errors=True)
        figures = run(folder, more=more)
        assert (figures["several_texts"], figures["in_order"], figures["contrary"]) == (1, 5, 5)
        said = capsys.readouterr().err
        assert "1 of 5 queries have rows with different texts under one query_id" in said
        assert "in 5 of 5 queries " in said and "is lower better? input.lower_is_better=true ranks again" in said
    figures = run(folder, input={"lower_is_better": True})
    assert (figures["contrary"], figures["scored_now"]) == (0, 0)
    assert "is lower better?" not in capsys.readouterr().err
    first = ranked(str(tmp_path / "out"))["first_stage_score"].to_pylist()
    assert min(first) == -3 / 7 and max(first) == 0


@pytest.mark.parametrize(("by_id", "queries", "several"), [(True, 1, 1), (False, 2, 0)])
def test_a_query_with_two_instructions_is_two_or_told_of(
    by_id: bool, queries: int, several: int, run: Run, tmp_path: Path
) -> None:
    rows = [
        {"query_id": "q", "query": "aspirin", "task": task, "doc_id": f"{task}{d}", "doc": f"text {d}", "score": -d}
        for task in ("find doses", "find risks")
        for d in range(3)
    ]
    table = pa.Table.from_pylist(rows)
    path = write(table if by_id else table.drop(["query_id"]), tmp_path / "in", 1)
    reranker = {"type": "qwen3", "model": tiny.qwen3(tmp_path / "model")}
    figures = run(path, reranker=reranker, input={"columns": {"instruction": "task"}})
    assert (figures["queries"], figures["several_texts"], figures["ranked"]) == (queries, several, 6)


@pytest.mark.parametrize(
    ("names", "columns", "words"),
    [
        ({}, {}, "query_id is 'query_id', query is 'query', doc_id is 'doc_id', doc is 'doc', score is 'score'"),
        ({"doc_id": "key"}, {"doc_id": "key"}, "query is 'query', doc_id is 'key', doc is 'doc', score is 'score'"),
        ({"query_id": "qid"}, {}, "score is 'score', query_id is a hash of query, for there is no such column"),
    ],
)
def test_what_is_read_is_said_and_in_the_manifest(
    names: dict, columns: dict, words: str, run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = make_distances()
    folder = write(table.rename_columns([names.get(name, name) for name in table.column_names]), tmp_path / "in", 2)
    run(folder, input={"columns": columns})
    (line,) = (line for line in capsys.readouterr().err.splitlines() if "the input has" in line)
    assert line.startswith("rayrank: the input has 2 files and 20 rows, 0 of them scored; ") and line.endswith(words)
    manifest = read_result(Folder(str(tmp_path / "out")))
    assert manifest and manifest["columns"]["doc_id"] == names.get("doc_id", "doc_id")
    assert manifest["columns"]["query_id"] == (None if "query_id" in names else "query_id")
