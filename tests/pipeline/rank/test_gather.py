"""Carried columns of many parts: those that each part would fetch by itself, and the input is read once."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

import pipeline.rank.carry
import pipeline.run
from pipeline.errors import RunError
from pipeline.input.listing import list_inputs
from pipeline.plan.plan import make_plan
from pipeline.rank import gather
from pipeline.rank.gather import places, stretches
from tests.pipeline.conftest import bucketed, pairs, ranked, write

CARRIED = {"columns": ["doc", "tags", "query"], "top_k": 5}


@pytest.fixture
def path(tmp_path: Path) -> str:
    table = pairs()
    tags = pa.array([None if i % 7 == 0 else [f"t{i}", "x"] for i in range(len(table))])
    return write(table.append_column("tags", tags), tmp_path / "in", 7)


@pytest.fixture
def expected(path: str, run: Callable[..., dict], tmp_path: Path) -> pa.Table:
    """The result in one part."""
    run(path, "one", output=CARRIED)
    return in_order(tmp_path / "one")


@pytest.fixture
def many(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seven parts, seven stretches of the input, files of a kilobyte."""
    bucketed(monkeypatch)
    monkeypatch.setattr(gather, "STRETCH_ROWS", 150)
    monkeypatch.setattr(gather, "FILE_BYTES", 1000)


def in_order(output: Path) -> pa.Table:
    return ranked(str(output)).sort_by([("query_id", "ascending"), ("rank", "ascending")])


def test_many_parts_have_the_carried_columns_of_one(
    path: str, expected: pa.Table, many: None, run: Callable[..., dict], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(pipeline.run, "sweep_merged", lambda folder: None)
        run(path, output=CARRIED)
    assert in_order(tmp_path / "out").equals(expected)
    assert expected["tags"].null_count and expected["tags"].type == pa.list_(pa.string())
    names = [file.stem.split("-", 1)[1] for file in (tmp_path / "out").rglob("merged/*-*.arrow")]
    assert sum(len(name) == 5 for name in names) == 7  # of each part, what it keeps
    pieces = {name.split("-")[0] for name in names if len(name) > 5}
    assert pieces == {f"{i:06d}" for i in range(7)}  # a file of 100 rows is a stretch, for the next goes beyond 150
    assert sum(len(name) > 5 for name in names) > 7
    run(path, output=CARRIED)
    assert not [*tmp_path.rglob("out/**/merged/*")]


def test_every_row_group_is_read_once(
    path: str, many: None, run: Callable[..., dict], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each reading of a row group leaves a line; a run over scores that are there, all of it in this process."""
    run(path)
    read = tmp_path / "read"
    monkeypatch.setattr(pipeline.rank.carry, "read_batches", UnitWriter(pipeline.rank.carry.read_batches, read))
    monkeypatch.setattr(gather, "run_tasks", lambda task, parts: map(task, parts))  # here, where the patch is
    monkeypatch.setattr(pipeline.run, "run_tasks", lambda task, parts: map(task, parts))
    run(path, output={"columns": ["doc"]})
    lines = read.read_text().splitlines()
    assert len(lines) == len(set(lines)) == 7 * 8  # files of 100 rows in row groups of 13


class UnitWriter:
    def __init__(self, read: Callable, to: Path):
        self.read, self.to = read, to

    def __call__(self, path: str, size: int, ranges: list, row_groups: range, *more: object) -> object:
        with self.to.open("a") as lines:
            print(path, row_groups, file=lines)
        return self.read(path, size, ranges, row_groups, *more)


def test_what_was_gathered_before_a_run_died_is_used(
    path: str, expected: pa.Table, many: None, run: Callable[..., dict], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(**unused: object) -> None:
        raise RuntimeError("the power went")

    with monkeypatch.context() as patch:
        patch.setattr(pipeline.run, "FuseBucket", crash)
        with pytest.raises(RuntimeError, match="the power went"):
            run(path, output=CARRIED)
    there = {file: file.stat().st_mtime_ns for file in (tmp_path / "out").rglob("merged/*")}
    with monkeypatch.context() as patch:
        patch.setattr(pipeline.run, "sweep_merged", lambda folder: None)
        run(path, output=CARRIED)
    assert {file: file.stat().st_mtime_ns for file in (tmp_path / "out").rglob("merged/*")} == there
    assert in_order(tmp_path / "out").equals(expected)


def test_gathered_files_that_vanish_are_told_of(
    path: str, many: None, run: Callable[..., dict], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = pipeline.run.texts_of

    def thief(*given: object) -> object:
        texts = whole(*given)  # type: ignore[arg-type]
        next((tmp_path / "out").rglob("merged/*-000003-000000.arrow")).unlink()
        return texts

    monkeypatch.setattr(pipeline.run, "texts_of", thief)
    with pytest.raises(RunError, match=r"-000003-000000.arrow.*has gone; does another run write to this output"):
        run(path, output=CARRIED)


def test_a_dictionary_in_a_list_is_fetched_by_each_part(many: None, run: Callable[..., dict], tmp_path: Path) -> None:
    """Such a column cannot be put by bucket: its dictionaries are messages of their own."""
    table = pairs()
    words = pa.array([[f"t{i % 3}"] for i in range(len(table))], pa.list_(pa.dictionary(pa.int32(), pa.string())))
    run(write(table.append_column("words", words), tmp_path / "nested", 2), output={"columns": ["words"]})
    result = ranked(str(tmp_path / "out"))
    number = [int(doc[1:]) for doc in result["doc_id"].to_pylist()]
    assert result["words"].to_pylist() == [[f"t{n % 3}"] for n in number]


def test_parts_without_rows(many: None, run: Callable[..., dict], tmp_path: Path) -> None:
    """All rows are of two queries, so five of the seven parts have none."""
    table = pairs()
    queries = pa.array([f"q{i % 2}" for i in range(len(table))])
    path = write(table.set_column(0, "query_id", queries), tmp_path / "two", 7)
    assert run(path, output={"columns": ["doc"], "top_k": 2})["ranked"] == 4
    result = in_order(tmp_path / "out")
    given = dict(zip(table["doc_id"].to_pylist(), table["doc"].to_pylist(), strict=True))
    assert result["doc"].to_pylist() == [given[doc] for doc in result["doc_id"].to_pylist()]


def test_places_are_in_the_order_of_the_input() -> None:
    file, row = np.array([0, 0, 1, 300_000], np.int32), np.array([5, 2**39, 0, 1])
    assert np.all(np.diff(places(file, row)) > 0)


@pytest.mark.parametrize(
    ("rows", "splits", "begins"),
    [
        (150, 1000, [0, 1, 2, 3, 4, 5, 6]),
        (200, 1000, [0, 2, 4, 6]),
        (1, 1000, [0, 1, 2, 3, 4, 5, 6]),
        (700, 3, [0, 3, 6]),
    ],
)
def test_stretches_are_as_many_whole_splits_as_fit(
    rows: int, splits: int, begins: list[int], path: str, make_config: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seven files of 100 rows, a split each."""
    monkeypatch.setattr(gather, "STRETCH_ROWS", rows)
    monkeypatch.setattr(gather, "STRETCH_SPLITS", splits)
    plan = make_plan(make_config(path), list_inputs([path]), 40)
    assert stretches(plan).tolist() == [file << 40 for file in begins]
