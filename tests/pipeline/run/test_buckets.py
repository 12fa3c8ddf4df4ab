"""Runs with many buckets: units are merged first, once, and what was merged goes with the commit."""

import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import pipeline.run
from pipeline.errors import RunError
from pipeline.output.commit import committed
from pipeline.storage.folder import Folder
from tests.pipeline.conftest import ROWS, bucketed, pairs, ranked, write


def merged_files(output: Path) -> list[Path]:
    return list(output.rglob("merged/*"))


def test_many_buckets_have_the_rows_of_one(
    tmp_path: Path, run: Callable[..., dict], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(pairs(), tmp_path / "in", 7)
    one = run(path, "one")
    buckets = bucketed(monkeypatch)
    many = run(path, "many", run={"unit_rows": 30})
    manifest = committed(Folder(str(tmp_path / "many")))
    assert manifest
    assert [part[:17] for part in manifest["parts"]] == [f"ranked/part-{i:05d}" for i in range(buckets)]
    for i, part in enumerate(manifest["parts"]):
        queries = set(pq.read_table(tmp_path / "many" / part)["query_id"].to_pylist())
        assert queries == {f"q{n * n % 37}" for n in range(37) if zlib.crc32(f"q{n * n % 37}".encode()) % buckets == i}
    in_order = [("query_id", "ascending"), ("rank", "ascending")]
    assert ranked(str(tmp_path / "many")).sort_by(in_order).equals(ranked(str(tmp_path / "one")).sort_by(in_order))
    counts = ("rows", "queries", "ranked", "unscored", "rejected", "truncated")
    assert [many[name] for name in counts] == [one[name] for name in counts]
    rejects = pa.concat_tables(pq.read_table(tmp_path / "many" / part) for part in manifest["rejects"])
    assert [(row["row"], row["reason"].split()[0]) for row in rejects.to_pylist()] == [(35, "duplicate")]
    assert not merged_files(tmp_path / "many")


def test_a_merge_that_was_stopped_is_not_done_again(
    tmp_path: Path, run: Callable[..., dict], monkeypatch: pytest.MonkeyPatch
) -> None:
    path, output = write(pairs(), tmp_path / "in", 7), tmp_path / "out"
    bucketed(monkeypatch)
    stopped_after_merging(run, path, monkeypatch)
    assert len(merged_files(output)) == 7
    for unit in output.rglob("0*.parquet"):
        unit.write_bytes(bytes(unit.stat().st_size))  # whoever reads it again fails
    with monkeypatch.context() as patch:
        patch.setattr(pipeline.run, "sweep_merged", lambda folder: None)
        assert run(path)["scored_now"] == 0
    assert len(merged_files(output)) == 7  # the run died before it swept
    assert run(path)["ranked"] == ROWS - 1
    assert not merged_files(output)


def stopped_after_merging(run: Callable[..., dict], path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(pipeline.run, "FuseBucket", crash)
        with pytest.raises(RuntimeError, match="the power went"):
            run(path)


def crash(**unused: Any) -> None:
    raise RuntimeError("the power went")


def test_merged_files_of_units_that_are_scored_anew_are_not_used(
    tmp_path: Path, run: Callable[..., dict], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A unit that is scored again may differ in the last digits and have the same size."""
    path, output = write(pairs(), tmp_path / "in", 7), tmp_path / "out"
    bucketed(monkeypatch)
    stopped_after_merging(run, path, monkeypatch)
    for file in output.rglob("merged/*"):
        file.write_bytes(b"of other scores")
    next(output.rglob("000003-0000.parquet")).unlink()
    assert run(path)["ranked"] == ROWS - 1


def test_many_buckets_refuse_scores_of_another_plan(
    tmp_path: Path, run: Callable[..., dict], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(pairs(), tmp_path / "in", 7)
    bucketed(monkeypatch)
    run(path)
    unit = next((tmp_path / "out").rglob("000003-0000.parquet"))
    late = unit.read_bytes()
    run(path, run={"on_existing": "restart"})
    unit.write_bytes(late)
    with pytest.raises(RunError, match=r"000003-0000.parquet: was written for another plan") as raised:
        run(path, fusion={"alpha": 0.3})
    assert raised.type is RunError  # and not Ray's, whose message is a traceback
