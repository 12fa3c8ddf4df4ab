"""Runs whose plan is made while they go on, as that of an input of very many files is."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

import pipeline.run
from pipeline.errors import RunError, UsageError
from pipeline.plan import existing as stored
from pipeline.plan.plan import Plan
from pipeline.sizes import Sizes
from pipeline.storage.folder import Folder
from tests.pipeline.conftest import ROWS, Run, pairs, ranked, write

UNITS = {"unit_rows": 10}


MANY = Sizes(drafted_files=5, tasks=3)  # more than five files are many, and three of seven are a page


def plans(tmp_path: Path) -> set[str]:
    return {file.name for file in (tmp_path / "out" / "scores").rglob("*.parquet") if not file.name[0].isdigit()}


def test_the_result_is_that_of_a_plan_made_before(tmp_path: Path, run: Run, run_on_ray: Run) -> None:
    path = write(pairs(), tmp_path / "in", 7)
    run(path, "before", run=UNITS)
    figures = run_on_ray(path, run=UNITS, more={"sizes": MANY})
    assert (figures["rows"], figures["scored_now"]) == (ROWS, ROWS - 7)
    assert ranked(str(tmp_path / "out")).equals(ranked(str(tmp_path / "before")))
    assert plans(tmp_path) == {"plan.parquet"}
    assert run(path, run=UNITS, more={"sizes": MANY})["scored_now"] == 0


def test_a_file_that_cannot_be_used_stops_the_run_when_it_is_read_and_what_was_scored_is_kept(
    tmp_path: Path, run: Run, run_on_ray: Run
) -> None:
    unsampled = replace(MANY, sampled_footers=0)
    path = write(pairs(), tmp_path / "in", 7)
    broken = Path(path) / "005.parquet"
    whole = broken.read_bytes()
    broken.write_bytes(whole[:-4] + b"nope")
    with pytest.raises(UsageError, match=r"005\.parquet: "):
        run_on_ray(path, run=UNITS, more={"sizes": unsampled})
    assert {"draft.parquet"} < plans(tmp_path) and "plan.parquet" not in plans(tmp_path)
    kept = {file: file.stat().st_mtime_ns for file in (tmp_path / "out" / "scores").rglob("[0-9]*.parquet")}
    broken.write_bytes(whole)
    figures = run(path, run=UNITS, more={"sizes": unsampled})
    assert (figures["rows"], figures["scored_now"]) == (ROWS, ROWS - 7 - _scored(kept))
    assert all(file.stat().st_mtime_ns == time for file, time in kept.items())
    run(path, "undisturbed", run=UNITS)
    assert ranked(str(tmp_path / "out")).equals(ranked(str(tmp_path / "undisturbed")))


def test_the_plan_of_another_run_is_not_taken_for_ones_own(
    tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(pairs(), tmp_path / "in", 7)
    put = stored._put

    def late(scores: Folder, plan: Plan) -> Plan:
        put(scores, replace(plan, id="another"))
        return put(scores, plan)

    monkeypatch.setattr(stored, "_put", late)
    with pytest.raises(RunError, match=r"plan\.parquet: has been put by another run"):
        run(path, run=UNITS, more={"sizes": MANY})


def test_a_restart_leaves_nothing_of_a_draft(tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(pairs(), tmp_path / "in", 7)
    with monkeypatch.context() as broken:
        broken.setattr(pipeline.run, "put_drafted", _killed)
        with pytest.raises(InterruptedError):
            run(path, run=UNITS, more={"sizes": MANY})
    assert len(plans(tmp_path)) == 4, "the draft and its pages"
    before = pq.read_metadata(next((tmp_path / "out" / "scores").rglob("draft.parquet"))).metadata
    assert run(path, run=UNITS | {"on_existing": "restart"})["scored_now"] == ROWS - 7
    after = pq.read_metadata(next((tmp_path / "out" / "scores").rglob("plan.parquet"))).metadata
    assert json.loads(before[b"draft"])["id"] != json.loads(after[b"plan"])["id"]


def _killed(*unused: Any) -> None:
    raise InterruptedError


def _scored(files: dict[Path, int]) -> int:
    return sum(pq.read_table(file)["kind"].to_pylist().count("ok") for file in files)
