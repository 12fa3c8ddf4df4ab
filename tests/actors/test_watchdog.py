"""The end of a stuck process, in processes of their own."""

import subprocess
import sys

from actors.watchdog import EXIT
from tests.conftest import ROOT

BEGIN = "import time\nfrom actors.watchdog import Watchdog\nwatchdog = Watchdog()\n"


def after(program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", BEGIN + program], cwd=ROOT, capture_output=True, text=True, timeout=60)


def test_what_does_not_come_ends_the_process() -> None:
    done = after("watchdog.expect(1)\ntime.sleep(50)")
    assert done.returncode == EXIT
    assert done.stderr == "rayrank: the engine made no progress for 1 s; ending its process\n"


def test_what_comes_in_time_does_not() -> None:
    assert after("for _ in range(10):\n    watchdog.expect(2)\n    time.sleep(0.3)").returncode == 0


def test_at_rest_nothing_is_expected() -> None:
    assert after("watchdog.expect(1)\nwatchdog.rest()\ntime.sleep(3)").returncode == 0
