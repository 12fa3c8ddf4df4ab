"""Runs with many buckets: units are merged first, once, and what was merged goes with the commit."""

import zlib
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.input.result import read_result
from pipeline.storage.folder import Folder
from tests.pipeline.conftest import BUCKETS, ROWS, SMALL, Interrupted, Run, in_order, pairs, score_files, write


def merged_files(output: Path) -> list[Path]:
    return list(output.rglob("merged/*"))


def test_many_buckets_have_the_rows_of_one(tmp_path: Path, run: Run) -> None:
    path = write(pairs(), tmp_path / "in", 7)
    one = run(path, "one")
    many = run(path, "many", run={"unit_rows": 30}, more={"sizes": SMALL})
    manifest = read_result(Folder(str(tmp_path / "many")))
    assert manifest
    assert [part[:17] for part in manifest["parts"]] == [f"ranked/part-{i:05d}" for i in range(BUCKETS)]
    for i, part in enumerate(manifest["parts"]):
        queries = set(pq.read_table(tmp_path / "many" / part)["query_id"].to_pylist())
        assert queries == {f"q{n * n % 37}" for n in range(37) if zlib.crc32(f"q{n * n % 37}".encode()) % BUCKETS == i}
    assert in_order(tmp_path / "many").equals(in_order(tmp_path / "one"))
    counts = ("rows", "queries", "ranked", "unscored", "rejected", "truncated")
    assert [many[name] for name in counts] == [one[name] for name in counts]
    rejects = pa.concat_tables(pq.read_table(tmp_path / "many" / part) for part in manifest["rejects"])
    assert [(row["row"], row["reason"].split()[0]) for row in rejects.to_pylist()] == [(35, "duplicate")]
    assert not merged_files(tmp_path / "many")


def test_a_merge_that_was_stopped_is_not_done_again(tmp_path: Path, run: Run) -> None:
    path, output = write(pairs(), tmp_path / "in", 7), tmp_path / "out"
    stop_after_merging(run, path)
    assert len(merged_files(output)) == 7
    for unit in score_files(output):
        unit.write_bytes(bytes(unit.stat().st_size))  # reading it again fails
    assert run(path, more={"sizes": SMALL})["ranked"] == ROWS - 1
    assert not merged_files(output)


def stop_after_merging(run: Run, path: str) -> None:
    def crash() -> None:
        raise RuntimeError("the power went")

    with pytest.raises(RuntimeError, match="the power went"):
        run(path, cluster=Interrupted(before_writing=crash), more={"sizes": SMALL})


def test_merged_files_of_units_that_are_scored_again_are_not_used(tmp_path: Path, run: Run) -> None:
    """A unit that is scored again may differ in the last digits and have the same size."""
    path, output = write(pairs(), tmp_path / "in", 7), tmp_path / "out"
    stop_after_merging(run, path)
    for file in output.rglob("merged/*"):
        file.write_bytes(b"of other scores")
    score_files(output)[3].unlink()
    assert run(path, more={"sizes": SMALL})["ranked"] == ROWS - 1
