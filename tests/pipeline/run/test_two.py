"""Two runs of one output, of which one finds out late; tests/chaos starts such runs by the dozen."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import pipeline.run
from pipeline.cluster.in_process import InProcess
from pipeline.output.lease import Held
from pipeline.rank.merge import MergeGroup
from pipeline.storage.folder import Folder
from tests.chaos.driver import hold_nothing
from tests.pipeline.conftest import SMALL, Run, pairs, ranked, write

OTHER = {"token": "another's", "host": "elsewhere", "pid": 1, "since": "now", "machine": "m", "started": "s", "beat": 0}


class Merging(InProcess):
    """This process, in which something happens, once, while scores are merged."""

    def __init__(self, happens: Callable[[], Any]):
        self._happens: Callable[[], Any] | None = happens

    def run(self, task: Any, items: Any) -> Any:
        if isinstance(task, MergeGroup) and self._happens:
            happens, self._happens = self._happens, None
            happens()
        return super().run(task, items)


def take_over(output: Path) -> None:
    Folder(str(output)).put_new("lease/000009.json", json.dumps(OTHER).encode())


def parts(output: Path) -> dict[str, int]:
    return {part.name: part.stat().st_mtime_ns for part in (output / "ranked").iterdir()}


def test_a_run_that_lost_the_output_while_it_merged_leaves_what_stands(tmp_path: Path, run: Run) -> None:
    path, output = write(pairs(), tmp_path / "in", 2), tmp_path / "out"
    run(path, fusion={"alpha": 0.9}, more={"sizes": SMALL})
    before, there = ranked(str(output)), parts(output)
    merging = Merging(lambda: take_over(output))
    with pytest.raises(Held, match="process 1 on elsewhere since now has taken its place"):
        run(path, fusion={"alpha": 0.1}, cluster=merging, more={"sizes": SMALL})
    assert ranked(str(output)).equals(before) and parts(output) == there


def test_a_run_that_lost_the_output_after_its_commit_sweeps_nothing(
    tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    path, output = write(pairs(), tmp_path / "in", 2), tmp_path / "out"
    others = output / "ranked" / "part-00000-0123456789ab.parquet"

    def another_begins() -> None:
        take_over(output)
        others.write_bytes(b"its first part")

    real = pipeline.run.commit

    def commit_late(*given: Any) -> None:
        real(*given)
        another_begins()

    monkeypatch.setattr(pipeline.run, "commit", commit_late)
    run(path)
    assert others.exists()
    assert "the result stands; what is left over goes with the next run" in capsys.readouterr().err


def test_of_two_that_make_the_same_result_the_first_stands(
    tmp_path: Path, run: Run, capsys: pytest.CaptureFixture
) -> None:
    path, output = write(pairs(), tmp_path / "in", 2), tmp_path / "out"
    options: dict[str, Any] = {"sizes": SMALL, "hold": hold_nothing}
    there: dict[str, int] = {}

    def another_runs() -> None:
        run(path, more=options)
        there.update(parts(output))

    figures = run(path, cluster=Merging(another_runs), more=options)
    assert figures["ranked"] == len(ranked(str(output))) and figures["scored_now"] > 0
    assert parts(output) == there
    assert "another run has put the same result meanwhile; it stands" in capsys.readouterr().err


def test_a_result_whose_parts_are_gone_is_made_again(tmp_path: Path, run: Run, capsys: pytest.CaptureFixture) -> None:
    path, output = write(pairs(), tmp_path / "in", 2), tmp_path / "out"
    run(path)
    before = ranked(str(output))
    next((output / "ranked").iterdir()).unlink()
    assert run(path)["scored_now"] == 0
    assert ranked(str(output)).equals(before)
    assert "parts of the result that stands are gone" in capsys.readouterr().err
