"""Runs whose plan is made while they go on, as that of an input of very many files is."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from pipeline import draft, stored, work
from pipeline.errors import UsageError
from tests.pipeline.conftest import ROWS, pairs, ranked, write

Run = Callable[..., dict[str, Any]]
UNITS = {"unit_rows": 10}


def many(monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on more than five files are many, and three of seven are a page."""
    monkeypatch.setattr(stored, "FILES", 5)
    monkeypatch.setattr(work, "TASKS", 3)


def plans(tmp_path: Path) -> set[str]:
    return {file.name for file in (tmp_path / "out" / "scores").rglob("*.parquet") if not file.name[0].isdigit()}


def test_the_result_is_that_of_a_plan_made_before(tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(pairs(), tmp_path / "in", 7)
    run(path, "before", run=UNITS)
    many(monkeypatch)
    figures = run(path, run=UNITS)
    assert (figures["rows"], figures["scored_now"]) == (ROWS, ROWS - 7)
    assert ranked(str(tmp_path / "out")).equals(ranked(str(tmp_path / "before")))
    assert plans(tmp_path) == {"plan.parquet"}
    assert run(path, run=UNITS)["scored_now"] == 0


def test_a_file_that_cannot_be_used_stops_the_run_when_it_is_read_and_what_was_scored_is_kept(
    tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    many(monkeypatch)
    monkeypatch.setattr(draft, "LOOKED_AT", 0)
    path = write(pairs(), tmp_path / "in", 7)
    broken = Path(path) / "005.parquet"
    whole = broken.read_bytes()
    broken.write_bytes(whole[:-4] + b"nope")
    with pytest.raises(UsageError, match=r"005\.parquet: "):
        run(path, run=UNITS)
    assert {"draft.parquet"} < plans(tmp_path) and "plan.parquet" not in plans(tmp_path)
    kept = {file: file.stat().st_mtime_ns for file in (tmp_path / "out" / "scores").rglob("[0-9]*.parquet")}
    broken.write_bytes(whole)
    figures = run(path, run=UNITS)
    assert (figures["rows"], figures["scored_now"]) == (ROWS, ROWS - 7 - _scored(kept))
    assert all(file.stat().st_mtime_ns == time for file, time in kept.items())
    run(path, "undisturbed", run=UNITS)
    assert ranked(str(tmp_path / "out")).equals(ranked(str(tmp_path / "undisturbed")))


def _scored(files: dict[Path, int]) -> int:
    return sum(pq.read_table(file)["kind"].to_pylist().count("ok") for file in files)
