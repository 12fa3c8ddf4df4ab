"""A part of the short form of `make chaos`; and what a trial looks at, on wrong outputs."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import ray

from tests.chaos.__main__ import LONG, SHORT
from tests.chaos.kinds import KINDS
from tests.chaos.lab import Lab, Wrong
from tests.conftest import ROOT

SEED = 4


def test_the_long_form_has_every_kind() -> None:
    assert [*LONG] == [*KINDS] and SHORT.keys() < LONG.keys()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_runs_that_are_disturbed_come_to_the_undisturbed_result(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "tests.chaos",
        "--short",
        "--kinds",
        "steps",
        "--seed",
        str(SEED),
        "--rows",
        "1200",  # enough for several buckets and groups
        "--journal",
        str(tmp_path / "journal"),
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    print(done.stdout)


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lab]:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    ray.init("local", num_cpus=2, include_dashboard=False, log_to_driver=False)
    yield Lab(tmp_path, ray.get_runtime_context().gcs_address, SEED)
    ray.shutdown()


@pytest.mark.slow
def test_a_trial_sees_a_wrong_score_a_file_too_many_and_work_done_twice(lab: Lab) -> None:
    trial = lab.trial()
    trial.run()
    trial.check(lab, 0)
    output = Path(trial.order.config["output"]["path"])
    (output / "ranked" / "part-9.parquet").write_bytes(b"")
    with pytest.raises(Wrong, match="files that differ"):
        trial.check(lab, 0)
    (output / "ranked" / "part-9.parquet").unlink()
    (unit, _), *_ = trial.given().items()
    with open(trial.order.folder / "given", "a") as given:
        given.write(f"{unit} 1\n")
    trial.check(lab, 1)
    with pytest.raises(Wrong, match="1 units were scored again, more than the 0"):
        trial.check(lab, 0)
    part = next((output / "ranked").iterdir())
    rows = pq.read_table(part)
    pq.write_table(rows.slice(1), part)
    with pytest.raises(Wrong, match="not that of the undisturbed run"):
        trial.check(lab, 1)
