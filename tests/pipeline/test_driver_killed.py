"""The driver is killed before and after every single thing it does to the store; the same command then goes on.

Real Ray, the real commit code, a scorer of known scores. The steps are counted in a run that is left alone, so a step
that is new is killed at, too.
"""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from pipeline.commit import committed
from pipeline.config import Config
from pipeline.storage import Folder
from tests.conftest import ROOT
from tests.pipeline.conftest import pairs, ranked, write

DRIVER = """
import json, os, signal, sys
from pipeline import lease
from pipeline.config import parse
from pipeline.run import rerank
from pipeline.storage import Folder
from tests.fakes import KnownScorer

lease.BEAT = 1000  # its beats are no steps
config, die_at, done = parse(json.loads(sys.argv[1])), sys.argv[2], []

def step(method):
    def call(self, what, *data):
        name = method.__name__ + " " + (what if isinstance(what, str) else " ".join(what))
        done.append(name)
        if die_at == f"before {len(done)}":
            os.kill(os.getpid(), signal.SIGKILL)
        result = method(self, what, *data)
        if die_at == f"after {len(done)}":
            os.kill(os.getpid(), signal.SIGKILL)
        return result
    return call

for name in ("put", "put_new", "delete"):
    setattr(Folder, name, step(getattr(Folder, name)))
rerank(config, KnownScorer)
print(json.dumps(done))
"""


def drive(config: Config, die_at: str = "never") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", DRIVER, config.model_dump_json(), die_at],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
    )


class Killing:
    """Kills a run at a step, lets the same command go on, and compares with a run that was left alone.

    again: what is killed is a run that re-ranks a result that stands.
    """

    def __init__(self, folder: Path, make_config: Callable[..., Config], again: bool):
        self._folder, self._make_config, self._again = folder, make_config, again
        self._path = write(pairs(), folder / "in", 7)
        self._before = self._prepare("calm")
        done = drive(self._config("calm"))
        assert done.returncode == 0, done.stderr
        self.steps: list[str] = json.loads(done.stdout.splitlines()[-1])
        self._expected, self._files = ranked(str(folder / "calm")), self._names("calm")

    def at(self, die_at: str) -> None:
        name = die_at.replace(" ", "-")
        self._prepare(name)
        died = drive(self._config(name), die_at)
        assert died.returncode == -signal.SIGKILL, (die_at, died.stderr)
        if committed(Folder(str(self._folder / name))):  # a reader finds the old result, or the new one, or none
            found = ranked(str(self._folder / name))
            assert found.equals(self._expected) or (self._before and found.equals(self._before)), die_at
        done = drive(self._config(name))
        assert done.returncode == 0, (die_at, done.stderr)
        assert ranked(str(self._folder / name)).equals(self._expected), die_at
        assert self._names(name) == self._files, die_at

    def _prepare(self, name: str) -> pa.Table | None:
        if not self._again:
            return None
        assert drive(self._config(name, alpha=0.9)).returncode == 0
        return ranked(str(self._folder / name))

    def _config(self, name: str, **fusion: float) -> Config:
        sections = {"run": {"unit_rows": 100, "max_failed": 0.1}, "fusion": fusion}
        return self._make_config(self._path, output={"path": str(self._folder / name)}, **sections)

    def _names(self, name: str) -> list[str]:
        """Of all files of an output, without the part that tells a plan from another."""
        return [re.sub("-[0-9a-f]{12}", "", file) for file in Folder(str(self._folder / name)).files()]


@pytest.mark.slow
@pytest.mark.parametrize("again", [False, True])
def test_at_every_step(again: bool, tmp_path: Path, make_config: Callable[..., Config]) -> None:
    killing = Killing(tmp_path, make_config, again)
    for number, step in enumerate(killing.steps, start=1):
        print(number, step)
        killing.at(f"before {number}")
        killing.at(f"after {number}")
