"""Tasks that are stuck, in processes of their own. What tasks raise: test_bad_files.py."""

import subprocess
import sys

from actors.worker.watchdog import EXIT
from tests.conftest import ROOT

BEGIN = """
import time
from pipeline.cluster import tasks
tasks.STUCK_SECONDS = 2

def steps(seconds):
    for number in range(4):
        time.sleep(seconds)
        yield number
"""


def after(program: str) -> subprocess.CompletedProcess[str]:
    program = BEGIN + program
    return subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=100)


def test_a_step_that_is_stuck_ends_the_process() -> None:
    done = after("list(tasks.watched_steps(steps(20)))")
    assert (done.returncode, done.stderr) == (EXIT, "rayrank: a task made no progress for 2 s; ending its process\n")


def test_many_steps_and_a_taker_who_takes_his_time_do_not() -> None:
    assert after("assert list(tasks.watched_steps(steps(0.8))) == [0, 1, 2, 3]\ntime.sleep(3)").returncode == 0
    assert after("for _ in tasks.watched_steps(steps(0)): time.sleep(3)").returncode == 0


def test_a_whole_task_is_one_step() -> None:
    assert after("assert tasks._run(len, 'abc') == 3; time.sleep(3)").returncode == 0
    assert after("tasks._run(time.sleep, 20)").returncode == EXIT
