"""How a stuck task ends: each test runs a program in a process of its own. Errors of tasks: test_bad_files.py."""

import subprocess
import sys

from actors.worker.watchdog import EXIT
from tests.conftest import ROOT

BEGIN = """
import time
from pipeline.cluster import tasks

def steps(seconds, number):
    for step in range(number):
        time.sleep(seconds)
        yield step

def watch(seconds, number=4):
    return tasks.watch_steps(steps(seconds, number), 2)
"""


def run(program: str) -> subprocess.CompletedProcess[str]:
    program = BEGIN + program
    return subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=100)


def test_a_step_that_is_stuck_ends_the_process() -> None:
    done = run("list(watch(20))")
    assert (done.returncode, done.stderr) == (EXIT, "rayrank: a task made no progress for 2 s; ending its process\n")


def test_many_steps_and_a_slow_consumer_do_not_end_it() -> None:
    many = "assert list(watch(0.4, 6)) == [*range(6)]\n"  # longer than the 2 s of a step
    assert run(many + "for _ in watch(0, 1): time.sleep(3)\ntime.sleep(3)").returncode == 0


def test_a_whole_task_is_one_step() -> None:
    short = "tasks.watch_step.__wrapped__.__defaults__ = (2,)\n"
    done = run(
        short + "assert tasks._run(len, 'abc') == 3; time.sleep(3); print('goes on', flush=True)\n"
        "tasks._run(time.sleep, 20)"
    )
    assert (done.returncode, done.stdout) == (EXIT, "goes on\n")
