"""Carried columns of many parts: those that each part would fetch by itself, and the input is read once."""

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import pipeline.rank.carry
import pipeline.rank.part
from pipeline.errors import RunError
from pipeline.input.listing import list_inputs
from pipeline.rank.gather import cut_stretches, decode_ranked, encode_ranked, number_rows
from pipeline.rank.part import RankedBucket
from pipeline.rows import BucketCounts
from pipeline.sizes import Sizes
from tests.pipeline.conftest import ROWS, SMALL, Interrupted, Run, in_order, pairs, ranked, write

CARRIED = {"columns": ["doc", "tags", "query"], "top_k": 5}


@pytest.fixture
def path(tmp_path: Path) -> str:
    table = pairs()
    tags = pa.array([None if i % 7 == 0 else [f"t{i}", "x"] for i in range(len(table))])
    return write(table.append_column("tags", tags), tmp_path / "in", 7)


@pytest.fixture
def expected(path: str, run: Run, tmp_path: Path) -> pa.Table:
    """The result in one part."""
    run(path, "one", output=CARRIED)
    return in_order(tmp_path / "one")


MANY = replace(SMALL, stretch_rows=150, gathered_bytes=1000)  # seven parts, seven stretches, files of a kilobyte


def test_many_parts_have_the_carried_columns_of_one(path: str, expected: pa.Table, run: Run, tmp_path: Path) -> None:
    merged: list[Path] = []
    look = Interrupted(before_writing=lambda: merged.extend((tmp_path / "out").rglob("merged/*-*.arrow")))
    run(path, output=CARRIED, cluster=look, more={"sizes": MANY})
    assert in_order(tmp_path / "out").equals(expected)
    assert expected["tags"].null_count and expected["tags"].type == pa.list_(pa.string())
    names = [file.stem.split("-", 1)[1] for file in merged]
    ranking = {f"{i:05d}{kind}" for i in range(7) for kind in ("", "-ranked")}
    assert ranking < {*names}, "each part as it was ranked, and the rows that it keeps"
    pieces = {name.split("-")[0] for name in {*names} - ranking}
    assert pieces == {f"{i:06d}" for i in range(7)}  # a file of 100 rows is a stretch, for the next goes beyond 150
    assert len({*names} - ranking) > 7
    assert not [*tmp_path.rglob("out/**/merged/*")]


def test_every_row_group_is_read_once_and_every_bucket_ranked_once(
    path: str, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run over scores that are there."""
    run(path)
    read, ranked_rows = Counter[tuple[str, range]](), Counter[str]()
    read_batches, rank = pipeline.rank.carry.read_batches, pipeline.rank.part.rank

    def count_reads(path: str, size: int, ranges: list, row_groups: range, *more: Any) -> Any:
        read[path, row_groups] += 1
        return read_batches(path, size, ranges, row_groups, *more)

    def count_rankings(rows: pa.Table, *more: Any) -> Any:
        ranked_rows["rows"] += len(rows)
        return rank(rows, *more)

    monkeypatch.setattr(pipeline.rank.carry, "read_batches", count_reads)
    monkeypatch.setattr(pipeline.rank.part, "rank", count_rankings)
    run(path, output={"columns": ["doc"]}, more={"sizes": MANY})
    assert {*read.values()} == {1} and len(read) == 7 * 8  # files of 100 rows in row groups of 13
    assert ranked_rows["rows"] == ROWS


def test_what_was_gathered_before_a_run_died_is_used(path: str, expected: pa.Table, run: Run, tmp_path: Path) -> None:
    def crash() -> None:
        raise RuntimeError("the power went")

    with pytest.raises(RuntimeError, match="the power went"):
        run(path, output=CARRIED, cluster=Interrupted(before_writing=crash), more={"sizes": MANY})
    there = {file: file.stat().st_mtime_ns for file in (tmp_path / "out").rglob("merged/*")}
    then: dict[Path, int] = {}
    look = Interrupted(
        before_writing=lambda: then.update(
            (file, file.stat().st_mtime_ns) for file in tmp_path.rglob("out/**/merged/*")
        )
    )
    run(path, output=CARRIED, cluster=look, more={"sizes": MANY})
    assert then == there
    assert in_order(tmp_path / "out").equals(expected)


def test_a_ranked_bucket_that_is_gone_is_ranked_again(path: str, expected: pa.Table, run: Run, tmp_path: Path) -> None:
    """Deleting what a committed result left may be interrupted."""

    def crash() -> None:
        raise RuntimeError("the power went")

    with pytest.raises(RuntimeError, match="the power went"):
        run(path, output=CARRIED, cluster=Interrupted(before_writing=crash), more={"sizes": MANY})
    next((tmp_path / "out").rglob("merged/*-00003-ranked.arrow")).unlink()
    run(path, output=CARRIED, more={"sizes": MANY})
    assert in_order(tmp_path / "out").equals(expected)


@pytest.mark.parametrize("name", ["*-000003-000000.arrow", "*-00003-ranked.arrow"])
def test_gathered_files_that_vanish_are_named(path: str, run: Run, tmp_path: Path, name: str) -> None:
    thief = Interrupted(before_writing=lambda: next((tmp_path / "out").rglob(f"merged/{name}")).unlink())
    with pytest.raises(RunError, match=rf"{name[1:]}.*has gone; does another run write to this output"):
        run(path, output=CARRIED, cluster=thief, more={"sizes": MANY})


def test_a_ranked_bucket_comes_back_as_it_was_put() -> None:
    ranked = pa.table({"query_id": ["a", None], "rank": pa.array([1, 2], pa.int32())})
    rejects = pa.table({"file": pa.array([3], pa.int32()), "reason": ["no doc_id"]})
    found = RankedBucket(ranked, rejects, BucketCounts(3, 2, 1, 0, 1, 0, 0, 0, {"no doc_id": 1}, {"contrary": 1}))
    back = decode_ranked(encode_ranked(found))
    assert back.ranked.equals(ranked) and back.rejects.equals(rejects) and back.counts == found.counts


def test_a_dictionary_in_a_list_is_fetched_by_each_part(run: Run, tmp_path: Path) -> None:
    """Such a column cannot be put by bucket: its dictionaries are messages of their own."""
    table = pairs()
    words = pa.array([[f"t{i % 3}"] for i in range(len(table))], pa.list_(pa.dictionary(pa.int32(), pa.string())))
    run(
        write(table.append_column("words", words), tmp_path / "nested", 2),
        output={"columns": ["words"]},
        more={"sizes": MANY},
    )
    result = ranked(str(tmp_path / "out"))
    number = [int(doc[1:]) for doc in result["doc_id"].to_pylist()]
    assert result["words"].to_pylist() == [[f"t{n % 3}"] for n in number]


def test_parts_without_rows(run: Run, tmp_path: Path) -> None:
    """All rows are of two queries, so five of the seven parts have none."""
    table = pairs()
    queries = pa.array([f"q{i % 2}" for i in range(len(table))])
    path = write(table.set_column(0, "query_id", queries), tmp_path / "two", 7)
    assert run(path, output={"columns": ["doc"], "top_k": 2}, more={"sizes": MANY})["ranked"] == 4
    result = in_order(tmp_path / "out")
    given = dict(zip(table["doc_id"].to_pylist(), table["doc"].to_pylist(), strict=True))
    assert result["doc"].to_pylist() == [given[doc] for doc in result["doc_id"].to_pylist()]


def test_row_numbers_are_in_the_order_of_the_input() -> None:
    file, row = np.array([0, 0, 1, 300_000], np.int32), np.array([5, 2**39, 0, 1])
    assert np.all(np.diff(number_rows(file, row)) > 0)


@pytest.mark.parametrize(
    ("rows", "pieces", "begins"),
    [
        (150, 1000, [(0, 0), (1, 0), (2, 0)]),
        (200, 1000, [(0, 0), (2, 0)]),
        (300, 1000, [(0, 0)]),
        (300, 2, [(0, 0), (2, 0)]),
        (91, 1000, [(0, 0), (0, 91), (1, 78), (2, 65)]),
        (91, 3, [(0, 0), (0, 39), (0, 78), (1, 13), (1, 52), (1, 91), (2, 26), (2, 65)]),
        (1, 1000, [(file, row) for file in range(3) for row in range(0, 100, 13)]),
    ],
    ids=[
        "a file",
        "two files",
        "all",
        "as many pieces as may be",
        "row groups of larger files, on into the next",
        "three row groups at most",
        "one row group at least",
    ],
)
def test_stretches_are_as_many_whole_files_or_row_groups_as_fit(
    rows: int, pieces: int, begins: list[tuple[int, int]], tmp_path: Path
) -> None:
    """Three files of 100 rows, in row groups of 13."""
    files = list_inputs([write(pairs(300), tmp_path / "three", 3)])
    starts = cut_stretches(files, [100] * 3, Sizes(stretch_rows=rows, stretch_pieces=pieces))
    assert starts.tolist() == [(file << 40) + row for file, row in begins]
