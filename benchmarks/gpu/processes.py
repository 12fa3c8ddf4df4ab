"""Each check in a process of its own, which is ended with all that it started."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

ROOT = Path(__file__).resolve().parent.parent.parent
LEAST_SECONDS = 20.0  # a check needs more to start
running: set[int] = set()  # the leaders of the process groups of the checks that run now


def run_apart(arguments: list[str], limit: float) -> dict[str, Any]:
    """Runs `python -m benchmarks.gpu` with arguments, for `limit` seconds at most. Returns the facts that it printed.

    `ok` is None where there was no time to start. Where it failed, `error` is the end of its log and `log` the whole.
    """
    if limit < LEAST_SECONDS:
        return {"ok": None, "skipped": f"{max(limit, 0):.0f} s left"}
    began = time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix="check-"))
    log, printed = folder / "log", folder / "printed"
    (folder / "tmp").mkdir()
    # Models go with the check. Ray stays where it was: its sockets bear no long path.
    temporary = {"TMPDIR": str(folder / "tmp"), "RAY_TMPDIR": os.environ.get("RAY_TMPDIR", tempfile.gettempdir())}
    with printed.open("wb") as output, log.open("wb") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.gpu", *arguments],
            stdout=output,
            stderr=errors,
            cwd=ROOT,
            env=os.environ | temporary | {"OMP_NUM_THREADS": str(os.cpu_count())},
            start_new_session=True,
        )
    running.add(process.pid)
    late = False
    try:
        process.wait(None if limit == float("inf") else limit)
    except subprocess.TimeoutExpired:
        late = True
    end_group(process.pid)
    process.wait()
    running.discard(process.pid)
    facts = read_facts(printed.read_text(errors="replace"))
    if late or not facts:
        why = f"still running after {limit:.0f} s" if late else f"exit code {process.returncode}"
        facts = {"ok": False, "error": f"{why}: {log.read_text(errors='replace')[-900:]}"}
    shutil.rmtree(folder if facts["ok"] else folder / "tmp", ignore_errors=True)
    took = {"took": round(time.monotonic() - began, 1)}
    return facts | took | ({} if facts["ok"] else {"log": str(log)})


def end_group(leader: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(leader, signal.SIGKILL)


def end_checks_with_this_process() -> None:
    """Sets handlers of SIGINT and SIGTERM that also end the checks, which are in sessions of their own."""

    def end(number: int, frame: object) -> NoReturn:
        for leader in [*running]:
            end_group(leader)
        os._exit(128 + number)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)


def read_facts(printed: str) -> dict[str, Any]:
    """The facts on the last line of an output; none if it has no such line."""
    with suppress(ValueError, IndexError):
        facts = json.loads(printed.splitlines()[-1])
        if isinstance(facts, dict) and "ok" in facts:
            return facts
    return {}


def run_here(check: Callable[[], dict[str, Any]]) -> NoReturn:
    """Runs a check, prints its facts and ends this process at once: nobody needs its engine any more."""
    try:
        facts = check()
    except BaseException as error:
        traceback.print_exc()
        facts = {"ok": False, "error": f"{type(error).__name__}: {error}"[-700:]}
    print(json.dumps(facts), flush=True)
    sys.stderr.flush()
    os._exit(0)
