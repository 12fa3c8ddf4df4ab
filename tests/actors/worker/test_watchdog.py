"""The end of a stuck process, in processes of their own."""

import subprocess
import sys

from actors.worker.watchdog import EXIT
from tests.conftest import ROOT

BEGIN = "import ctypes, time\nfrom actors.worker import watchdog as module\nwatchdog = module.Watchdog()\n"


def after(program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", BEGIN + program], cwd=ROOT, capture_output=True, text=True, timeout=60)


def test_what_does_not_come_ends_the_process() -> None:
    done = after("watchdog.expect(1)\ntime.sleep(50)")
    assert done.returncode == EXIT
    assert done.stderr == "rayrank: the engine made no progress for 1 s; ending its process\n"


def test_its_last_words_are_heard_but_not_waited_for() -> None:
    told = "module.LATER = 1\nw = module.Watchdog('a task', lambda said: (print(said, flush=True), time.sleep(50)))"
    done = after(f"{told}\nw.expect(1)\ntime.sleep(50)")
    assert (done.returncode, done.stdout) == (EXIT, "a task made no progress for 1 s\n")


def test_a_log_on_a_full_disk_keeps_no_process_alive() -> None:
    program = "import os, sys\nos.dup2(os.open('/dev/full', os.O_WRONLY), 2)\nmodule.leave('why')"
    assert after(program).returncode == EXIT


def test_where_no_thread_is_to_be_had_its_own_still_ends_the_process() -> None:
    fails = "def fails(*given, **named): raise RuntimeError('unable to start watchdog thread')"
    program = f"{fails}\nmodule.faulthandler.dump_traceback_later = fails\nwatchdog.expect(2)\ntime.sleep(50)"
    assert after(program).returncode == EXIT


def test_nor_need_the_thread_run_that_looks_for_it() -> None:
    done = after("module.LATER = 1\nwatchdog.expect(2)\nctypes.PyDLL(None).sleep(50)  # keeps the GIL")
    assert done.returncode == 1
    assert done.stderr.startswith("Timeout (0:00:0") and 'File "<string>", line 6 in <module>' in done.stderr


def test_what_comes_in_time_does_not() -> None:
    assert after("for _ in range(10):\n    watchdog.expect(2)\n    time.sleep(0.3)").returncode == 0


def test_at_rest_nothing_is_expected() -> None:
    assert after("watchdog.expect(1)\nwatchdog.rest()\ntime.sleep(3)").returncode == 0


def test_at_rest_the_interpreter_may_be_held() -> None:
    waits = "watchdog.expect(2)\nwatchdog.rest()\ntime.sleep(2)\nctypes.PyDLL(None).sleep(4)"
    assert after(f"module.LATER = 1\n{waits}").returncode == 0
