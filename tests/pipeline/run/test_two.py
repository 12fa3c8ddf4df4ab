"""Two runs of one output, of which one finds out late; tests/chaos starts such runs by the dozen."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import pipeline.run
from pipeline.output.lease import Held
from pipeline.storage.folder import Folder
from tests.chaos.driver import NoLease
from tests.pipeline.conftest import pairs, ranked, write

OTHER = {"token": "another's", "host": "elsewhere", "pid": 1, "since": "now", "machine": "m", "started": "s", "beat": 0}


def meanwhile(monkeypatch: pytest.MonkeyPatch, name: str, happens: Callable[[], Any]) -> None:
    """Something happens, once, when that function of a run's has returned."""
    real = getattr(pipeline.run, name)

    def then(*given: Any) -> Any:
        result = real(*given)
        monkeypatch.setattr(pipeline.run, name, real)
        happens()
        return result

    monkeypatch.setattr(pipeline.run, name, then)


def take_over(output: Path) -> None:
    Folder(str(output)).put_new("lease/000009.json", json.dumps(OTHER).encode())


def parts(output: Path) -> dict[str, int]:
    return {part.name: part.stat().st_mtime_ns for part in (output / "ranked").iterdir()}


def test_who_lost_the_output_while_it_merged_leaves_what_stands(
    tmp_path: Path, run: Callable[..., dict], monkeypatch: pytest.MonkeyPatch
) -> None:
    path, output = write(pairs(), tmp_path / "in", 2), tmp_path / "out"
    run(path, fusion={"alpha": 0.9})
    before, there = ranked(str(output)), parts(output)
    meanwhile(monkeypatch, "_fusing", lambda: take_over(output))
    with pytest.raises(Held, match="process 1 on elsewhere since now has taken its place"):
        run(path, fusion={"alpha": 0.1})
    assert ranked(str(output)).equals(before) and parts(output) == there


def test_who_lost_the_output_after_its_commit_sweeps_nothing(
    tmp_path: Path, run: Callable[..., dict], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    path, output = write(pairs(), tmp_path / "in", 2), tmp_path / "out"
    others = output / "ranked" / "part-00000-0123456789ab.parquet"

    def another_begins() -> None:
        take_over(output)
        others.write_bytes(b"its first part")

    meanwhile(monkeypatch, "commit", another_begins)
    run(path)
    assert others.exists()
    assert "the result stands; what is left over goes with the next run" in capsys.readouterr().err


def test_of_two_that_come_to_the_same_result_the_first_stands(
    tmp_path: Path, run: Callable[..., dict], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    path, output = write(pairs(), tmp_path / "in", 2), tmp_path / "out"
    monkeypatch.setattr(pipeline.run, "hold", NoLease)
    there: dict[str, int] = {}

    def another_runs() -> None:
        run(path)
        there.update(parts(output))

    meanwhile(monkeypatch, "_fusing", another_runs)
    figures = run(path)
    assert figures["ranked"] == len(ranked(str(output))) and figures["scored_now"] > 0
    assert parts(output) == there
    assert "another run has put the same result meanwhile; it stands" in capsys.readouterr().err


def test_a_result_whose_parts_are_gone_is_made_anew(
    tmp_path: Path, run: Callable[..., dict], capsys: pytest.CaptureFixture
) -> None:
    path, output = write(pairs(), tmp_path / "in", 2), tmp_path / "out"
    run(path)
    before = ranked(str(output))
    next((output / "ranked").iterdir()).unlink()
    assert run(path)["scored_now"] == 0
    assert ranked(str(output)).equals(before)
    assert "parts of the result that stands are gone" in capsys.readouterr().err
