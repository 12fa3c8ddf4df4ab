"""How a stuck process ends: each test runs a program in a process of its own."""

import subprocess
import sys

from actors.worker.watchdog import EXIT
from tests.conftest import ROOT

BEGIN = "import ctypes, time\nfrom actors.worker import watchdog as module\nwatchdog = module.Watchdog()\n"


def run(program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", BEGIN + program], cwd=ROOT, capture_output=True, text=True, timeout=60)


def test_a_deadline_that_passes_ends_the_process() -> None:
    done = run("watchdog.expect(1)\ntime.sleep(50)")
    assert done.returncode == EXIT
    assert done.stderr == "rayrank: the engine made no progress for 1 s; ending its process\n"


def test_its_last_words_are_called_but_not_awaited_for_long() -> None:
    begin = "module.LATER = 1\nw = module.Watchdog('a task', lambda line: (print(line, flush=True), time.sleep(50)))"
    done = run(f"{begin}\nw.expect(1)\ntime.sleep(50)")
    assert (done.returncode, done.stdout) == (EXIT, "a task made no progress for 1 s\n")


def test_a_log_on_a_full_disk_does_not_keep_the_process_alive() -> None:
    program = "import os, sys\nos.dup2(os.open('/dev/full', os.O_WRONLY), 2)\nmodule.leave('why')"
    assert run(program).returncode == EXIT


def test_without_a_timer_its_thread_still_ends_the_process() -> None:
    fails = "def fails(*given, **named): raise RuntimeError('unable to start watchdog thread')"
    program = f"{fails}\nmodule.faulthandler.dump_traceback_later = fails\nwatchdog.expect(2)\ntime.sleep(50)"
    assert run(program).returncode == EXIT


def test_without_its_thread_the_timer_still_ends_the_process() -> None:
    done = run("module.LATER = 1\nwatchdog.expect(2)\nctypes.PyDLL(None).sleep(50)  # keeps the GIL")
    assert done.returncode == 1
    assert done.stderr.startswith("Timeout (0:00:0") and 'File "<string>", line 6 in <module>' in done.stderr


def test_progress_in_time_keeps_the_process_alive() -> None:
    assert run("for _ in range(10):\n    watchdog.expect(2)\n    time.sleep(0.3)").returncode == 0


def test_at_rest_nothing_is_expected() -> None:
    assert run("watchdog.expect(1)\nwatchdog.rest()\ntime.sleep(3)").returncode == 0


def test_at_rest_native_code_may_hold_the_interpreter() -> None:
    waits = "watchdog.expect(2)\nwatchdog.rest()\ntime.sleep(2)\nctypes.PyDLL(None).sleep(4)"
    assert run(f"module.LATER = 1\n{waits}").returncode == 0


def test_a_closed_watchdog_expects_nothing_and_its_thread_ends() -> None:
    closed = "watchdog.expect(1)\nwatchdog.close()\nmodule.threading.enumerate()[-1].join(5)"
    done = run(f"module.LATER = 1\n{closed}\ntime.sleep(3)\nprint([t.name for t in module.threading.enumerate()])")
    assert (done.returncode, done.stdout) == (0, "['MainThread']\n")
