"""Runs whose footers are read while they go on, as those of an input of very many files are."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow.parquet as pq
import pytest

from pipeline.cluster.in_process import InProcess
from pipeline.errors import UsageError
from pipeline.sizes import Sizes
from tests.pipeline.conftest import ROWS, Run, pairs, ranked, score_files, write

UNITS = {"unit_rows": 10}
MANY = Sizes(first_footers=5, sampled_footers=2, tasks=3)  # more than five files are many


def test_the_result_is_that_of_footers_read_before(
    tmp_path: Path, run: Run, run_on_ray: Run, capfd: pytest.CaptureFixture[str]
) -> None:
    path, units = write(pairs(), tmp_path / "in", 7), {"unit_rows": 35}
    run(path, "before", run=units)
    figures = run_on_ray(path, run=units, more={"sizes": MANY})
    assert (figures["rows"], figures["scored_now"]) == (ROWS, ROWS - 7)
    assert ranked(str(tmp_path / "out")).equals(ranked(str(tmp_path / "before")))
    assert "700 of 700 pairs (100.0%)" in capfd.readouterr().err
    assert run(path, run=units, more={"sizes": MANY})["scored_now"] == 0


@pytest.mark.parametrize("sampled", [1, 2, 32])
def test_any_sample_of_footers_will_do(tmp_path: Path, run: Run, sampled: int) -> None:
    path = write(pairs(), tmp_path / "in", 7)
    assert run(path, more={"sizes": replace(MANY, sampled_footers=sampled)})["rows"] == ROWS


class Waiting(InProcess):
    """This process, which reads the other footers last of all."""

    def start(self, function: Callable[..., Any], *arguments: Any) -> Any:
        return Later(function, arguments)


class Later(NamedTuple):
    """A function that is called when somebody waits for it."""

    function: Callable[..., Any]
    arguments: Any

    def is_ready(self) -> bool:
        return False

    def wait(self) -> Any:
        return self.function(*self.arguments)


def test_a_file_that_cannot_be_used_stops_the_run_when_it_is_read_and_what_was_scored_is_kept(
    tmp_path: Path, run: Run
) -> None:
    first_only = replace(MANY, sampled_footers=1)
    path = write(pairs(), tmp_path / "in", 7)
    broken = Path(path) / "005.parquet"
    whole = broken.read_bytes()
    broken.write_bytes(whole[:-4] + b"nope")
    with pytest.raises(UsageError, match=r"005\.parquet: "):
        run(path, run=UNITS, more={"sizes": first_only}, cluster=Waiting())
    kept = {file: file.stat().st_mtime_ns for file in score_files(tmp_path / "out")}
    assert kept
    broken.write_bytes(whole)
    figures = run(path, run=UNITS, more={"sizes": first_only})
    scored = sum(pq.read_table(file)["kind"].to_pylist().count("ok") for file in kept)
    assert (figures["rows"], figures["scored_now"]) == (ROWS, ROWS - 7 - scored)
    assert all(file.stat().st_mtime_ns == time for file, time in kept.items())
    run(path, "undisturbed", run=UNITS)
    assert ranked(str(tmp_path / "out")).equals(ranked(str(tmp_path / "undisturbed")))
