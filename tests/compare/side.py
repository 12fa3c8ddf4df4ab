"""A tree as the harness has it: a process in it that takes cases, and is restarted where it dies or hangs."""

import json
import os
import queue
import shutil
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from .case import SIDE, TREE, Case
from .mask import masked

LIMIT = 900  # seconds that a case may take
NOT_THE_TREE = (".git", ".venv", "build", "__pycache__", ".*_cache")
INSIDE = Path(__file__).parent / "inside"


class Side:
    """name: of three letters, for both sides' paths are to have the same length. folder: of the whole comparison.

    It works on a copy of the tree as it is now: nobody's edits come between, and Python can keep its bytecode there.
    """

    def __init__(self, name: str, root: Path, folder: Path, cpus: int):
        self.name, self._cpus = name, cpus
        self._own, self._ray, self._root = folder / name, folder / f"ray-{name}", folder / f"tree-{name}"
        shutil.copytree(root, self._root, ignore=shutil.ignore_patterns(*NOT_THE_TREE), symlinks=True)
        self._modules = folder / "modules"
        self._log = folder / f"{name}.log"
        self._process: subprocess.Popen[str] | None = None
        self._lines: queue.Queue[str] = queue.Queue()
        self._over = False
        self._own.mkdir()
        self._modules.mkdir(exist_ok=True)
        if not (self._modules / "inside").exists():
            (self._modules / "inside").symlink_to(INSIDE)

    def answer(self, case: Case) -> list[Any]:
        """The outcome of each step, masked. The folder of the case is deleted."""
        home = self._own / "case"
        home.mkdir()
        order = json.dumps(case.steps).replace(SIDE, str(home)).replace(TREE, str(self._root))
        paths = {str(home): "SIDE", str(self._root): "TREE", str(self._own.parent): "WORK"}
        try:
            return masked(self._ask(order), paths)
        finally:
            shutil.rmtree(home)

    def end(self) -> None:
        """Stops it for good."""
        self._over = True
        self.stop()

    def stop(self) -> None:
        """Ends the process and all that it started."""
        if self._process is None:
            return
        below = psutil.Process(self._process.pid).children(recursive=True) if self._process.poll() is None else []
        assert self._process.stdin
        with suppress(OSError):
            self._process.stdin.close()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(10)
        for process in [*below, self._process]:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        self._process.wait()
        self._process = None
        shutil.rmtree(self._ray, ignore_errors=True)

    def last_words(self) -> str:
        return self._log.read_text(errors="replace")[-2000:]

    def _ask(self, order: str) -> list[Any]:
        if self._process is None:
            self._start()
        process = self._process
        assert process and process.stdin
        try:
            print(order, file=process.stdin, flush=True)
            return json.loads(self._line())
        except (OSError, EOFError) as error:
            said = f"{error}: {self.last_words()}"
        except queue.Empty:
            said = f"no answer within {LIMIT} s"
        self.stop()
        return [{"the process died": said}]

    def _line(self) -> str:
        line = self._lines.get(timeout=LIMIT)
        if not line:
            raise EOFError("the process ended")
        return line

    def _start(self) -> None:
        if self._over:
            raise RuntimeError("the comparison is over")
        with self._log.open("a") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "inside.child"],
                cwd=self._root, env=self._environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log,
                text=True, start_new_session=True,
            )  # fmt: skip
        self._process, self._lines = process, queue.Queue()
        threading.Thread(target=_pump, args=(process, self._lines), daemon=True).start()
        try:
            self._line()
        except EOFError:
            raise RuntimeError(f"its process does not start: {self.last_words()}") from None

    def _environment(self) -> dict[str, str]:
        ours = ("RAY_", "AWS_", "PYTHONDONTWRITEBYTECODE")
        plain = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
        return plain | {
            "PYTHONPATH": f"{self._root}:{self._modules}",
            "COMPARE_TEMPORARY": str(self._ray),
            "COMPARE_CPUS": str(self._cpus),
            "RAY_TMPDIR": str(self._ray.with_name(f"sh-{self.name}")),
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_BACKEND_LOG_LEVEL": "fatal",
            "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
            "HF_HUB_OFFLINE": "1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "COLUMNS": "100",
        }


def _pump(process: subprocess.Popen[str], lines: "queue.Queue[str]") -> None:
    assert process.stdout
    for line in process.stdout:
        lines.put(line)
    lines.put("")
