"""The parts of every trial: a running Ray, pairs, the result of a run that was left alone, and drivers."""

import json
import math
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import pyarrow as pa

from pipeline.input.result import read_result
from pipeline.storage.folder import Folder
from pipeline.storage.local import TEMPORARY_NAME
from tests.chaos.driver import Order
from tests.conftest import ROOT, minilm_folder
from tests.pipeline.conftest import pairs, ranked, write

ROWS, UNIT = 3000, 50
MARKS = ("put_new lease/", "delete ['_SUCCESS']")  # steps of a run: its first, and the first of a new result
LIMIT = 300  # seconds that a run may take, whatever befalls it


class Wrong(Exception):
    """A result that is not the undisturbed run's, or a run that did not end as it should."""


class Outcome(NamedTuple):
    """The outcome of a trial that went as it should. kills: of a driver, an actor or a node, or a stand-in for one.
    again: units that were given to an actor once more, of those `allowed`, which were in flight at the kills."""

    what: str
    kills: int
    again: int
    allowed: int


Kind = Callable[["Lab", int], Iterator[Outcome]]


class Lab:
    """address: of the Ray that runs go to. seed: of everything that is drawn. calm: the run that was left alone."""

    def __init__(self, folder: Path, address: str, seed: int, rows: int = ROWS):
        self.folder, self.address, self.seed = folder, address, seed
        self.draw = random.Random(seed)
        self._made = 0
        self._pairs = write(pairs(rows), folder / "pairs", 7)
        self.calm = self.trial()
        self.calm.run()
        self.seconds = {mark: self.calm.since("put _SUCCESS") - self.calm.since(mark) for mark in MARKS}
        self.expected, self.names = self.calm.ranked(), self.calm.names()

    def trial(self, scorer: str = "Calm", actors: int = 2, **sections: dict[str, Any]) -> "Trial":
        """A new output. sections: of the config, beside those that every trial has."""
        self._made += 1
        folder = self.folder / f"trial-{self._made}"
        folder.mkdir()
        config: dict[str, Any] = {
            "input": {"path": self._pairs},
            "reranker": {"type": "bi_encoder", "model": minilm_folder()},
            "engine": {"dtype": "float32", "enforce_eager": True, "max_model_len": 256},
            "workers": {"count": actors},
            "run": {"unit_rows": UNIT, "max_failed": 0.1, "shared_filesystem": True},
            "output": {"path": str(folder / "out")},
        }
        for name, section in sections.items():
            config[name] = config.get(name, {}) | section
        order = Order(address=self.address, config=config, scorer=scorer, folder=folder, seed=self.seed)
        return Trial(order)

    def draw_moment(self) -> tuple[str, float]:
        """A step of a run, and seconds after it: half of these moments are while a run lasts, and half while it
        merges, fuses and commits."""
        mark, seconds = self.draw.choice([*self.seconds.items()])
        return mark, self.draw.uniform(0, seconds)


class Trial:
    """One output, and the runs that work on it one after the other, or at once."""

    def __init__(self, order: Order):
        self.order, self.kills = order, 0
        self._folder, self._output = order.folder, Folder(order.config["output"]["path"])
        self._runs = 0

    def start(self, **changes: Any) -> subprocess.Popen[bytes]:
        """A driver at work. changes: of its order."""
        self._runs += 1
        command = [sys.executable, "-m", "tests.chaos.driver", self.order.model_copy(update=changes).model_dump_json()]
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        with open(self._log("steps"), "wb") as steps, open(self._log("errors"), "wb") as errors:
            return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=steps, stderr=errors)

    def run(self, code: int = 0, **changes: Any) -> None:
        """A driver from its beginning to its end."""
        self.end(self.start(**changes), code)

    def run_both(self, pause: float) -> list[int]:
        """Two drivers at work at the same time, as if one had slept while the other took its lease; and one more where
        neither made a result. Returns the exit codes of the two. pause: seconds before the second one starts."""
        first = self.start(lease=False)
        time.sleep(pause)
        second = self.start(lease=False)
        codes = [first.wait(), second.wait()]
        if 0 not in codes:
            self.run()
        return codes

    def end(self, driver: subprocess.Popen[bytes], code: int = 0) -> None:
        """Waits for the end of a driver. Raises Wrong if it is not that one."""
        try:
            got = driver.wait(LIMIT)
        except subprocess.TimeoutExpired:
            driver.kill()
            raise Wrong(f"a run did not end within {LIMIT} s: {self.errors()}") from None
        if got != code:
            raise Wrong(f"a run ended with {got}, not {code}: {self.errors()}")

    def kill(self, driver: subprocess.Popen[bytes]) -> None:
        """Kills a driver; it counts where no result stood yet."""
        driver.kill()
        driver.wait()
        self.kills += read_result(self._output) is None

    def kill_at(self, driver: subprocess.Popen[bytes], mark: str, seconds: float) -> bool:
        """Kills a driver some seconds after a step. False where it ended before, as it should."""
        self.wait_for(lambda: time.time() > self.since(mark) + seconds, driver)
        if driver.poll() is not None:
            self.end(driver)
            return False
        self.kill(driver)
        return True

    def kill_actors(self, actors: list[int]) -> None:
        for actor in actors:
            with suppress(ProcessLookupError):  # it has just ended
                os.kill(actor, signal.SIGKILL)
                self.kills += 1

    def actors(self) -> list[int]:
        """The processes of actors that live."""
        try:
            found = {int(line) for line in (self._folder / "actors").read_text().split()}
        except FileNotFoundError:
            return []
        return sorted(process for process in found if _lives(process))

    def wait_for(self, what: Callable[[], object], driver: subprocess.Popen[bytes]) -> None:
        """Returns when `what` is true, or the driver has ended."""
        until = time.monotonic() + LIMIT
        while not what() and driver.poll() is None:
            if time.monotonic() > until:
                driver.kill()
                raise Wrong(f"nothing came within {LIMIT} s: {self.errors()}")
            time.sleep(0.02)

    def await_work(self, driver: subprocess.Popen[bytes], units: int) -> None:
        """Returns when this number of further units was given to actors, or the driver has ended."""
        until = sum(self.given().values()) + units
        self.wait_for(lambda: sum(self.given().values()) >= until, driver)

    def told(self) -> list[str]:
        """The steps of the last driver so far."""
        return self._log("steps").read_text().splitlines()

    def since(self, mark: str) -> float:
        """When the last driver came to a step, in seconds since the epoch; infinity if it did not."""
        return next((float(line.split()[0]) for line in self.told() if mark in line), math.inf)

    def errors(self) -> str:
        """The last words of each driver so far, the last one first."""
        logs = sorted(self._folder.glob("errors-of-run-*"), key=lambda log: -int(log.name.rpartition("-")[2]))
        return "\n".join(f"{log.name}: {log.read_text()[-2000:]}" for log in logs if log.stat().st_size)

    def given(self) -> Counter[str]:
        """Unit -> how often an actor was given it to score."""
        return Counter(unit for unit, _ in self._given())

    def figures(self) -> dict[str, Any]:
        """The last line of the last run that had a result."""
        return json.loads((self._folder / "figures").read_text())

    def busy(self) -> list[int]:
        """The processes of actors that live and were given units, the last one first."""
        processes = dict.fromkeys(int(process) for _, process in reversed(self._given()))
        return [process for process in processes if _lives(process)]

    def _given(self) -> list[list[str]]:
        try:
            return [line.split() for line in (self._folder / "given").read_text().splitlines()]
        except FileNotFoundError:
            return []

    def again(self) -> int:
        """Units that were given once more."""
        return sum(self.given().values()) - len(self.given())

    def marks(self, what: str) -> int:
        """How often its scorers counted `what`."""
        return len(list(self._folder.glob(f"{what}-*")))

    def committed(self) -> bool:
        return read_result(self._output) is not None

    def ranked(self) -> pa.Table:
        return ranked(self._output.url)

    def names(self) -> list[str]:
        """The names of the output's files, without those that a killed process left half-written, which nobody reads
        and a later commit sweeps."""
        return [file for file in self._output.files() if not TEMPORARY_NAME.search(file)]

    def check(self, lab: Lab, allowed: int) -> None:
        """Raises Wrong unless the result is the undisturbed run's, with `allowed` units given again at most."""
        if not self.ranked().equals(lab.expected):
            raise Wrong("the result is not that of the undisturbed run")
        if self.names() != lab.names:
            raise Wrong(f"files that differ: {sorted(set(self.names()) ^ set(lab.names))}")
        if self.again() > allowed:
            raise Wrong(f"{self.again()} units were scored again, more than the {allowed} in flight")

    def _log(self, what: str) -> Path:
        return self._folder / f"{what}-of-run-{self._runs}"


def _lives(process: int) -> bool:
    try:
        return psutil.Process(process).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
