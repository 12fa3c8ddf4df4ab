"""The operator's verdict on the end of a job, from its own file in Airflow's environment."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.jobs.dags.conftest import DAGS

# A program for Airflow's Python: reads events, writes what judge() raises for each.
ASK = """
import json, sys
from rerank_job import judge
answers = []
for event in json.load(sys.stdin):
    try:
        judge(event)
        answers.append(None)
    except Exception as error:
        answers.append(f"{type(error).__name__}: {error}")
print(json.dumps(answers))
"""
LOG = "Job entrypoint command failed\nrayrank: the line that says why\n(actor) good bye"
ENDS = [  # status, exit code, what Ray says; what is raised, which the task's log ends with
    ("SUCCEEDED", 0, "fine", None),
    ("FAILED", 1, LOG, "RayAirflowException: FAILED, exit code 1: rayrank: the line that says why"),
    ("FAILED", 2, LOG, "AirflowFailException: FAILED, exit code 2, the config or the input is wrong, so there is no "
     "retry: rayrank: the line that says why"),
    ("FAILED", 3, "died", "AirflowFailException: FAILED, exit code 3, more rows failed than run.max_failed, so there "
     "is no retry: died"),
    ("FAILED", 4, "held", "RayAirflowException: FAILED, exit code 4: held"),
    ("FAILED", None, "the node is gone", "RayAirflowException: FAILED: the node is gone"),
    ("STOPPED", None, "by hand", "RayAirflowException: STOPPED: by hand"),
    ("GONE", None, "unknown", "RayAirflowException: GONE: unknown"),
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_retry_is_for_what_it_can_help(airflow_bin: Path, tmp_path: Path) -> None:
    events = [
        {"job_id": "j-1", "status": status, "exit_code": code, "message": message} for status, code, message, _ in ENDS
    ]
    done = subprocess.run(
        [airflow_bin / "python", "-c", ASK],
        input=json.dumps(events),
        env=os.environ | {"PYTHONPATH": str(DAGS), "AIRFLOW_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    answers = json.loads(done.stdout.splitlines()[-1])
    assert [answer and answer.replace("Ray job j-1: ", "") for answer in answers] == [raised for *_, raised in ENDS]
