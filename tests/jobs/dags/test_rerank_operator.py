"""Whose Ray job is stopped when, asked of operator and trigger in Airflow's environment, with a Ray that is a list."""

import json
import os
import socket
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.jobs.dags.conftest import DAGS

# The beginning of each program for Airflow's Python. A program ends by printing its findings as JSON.
FAKES = """
import asyncio, datetime, json, sys, time, types
import rerank_job
from airflow.sdk.exceptions import TaskDeferred
from rerank_job import RerankJob, RerankTrigger
from ray.job_submission import JobDetails, JobStatus

class Ray:
    def __init__(self, *jobs):
        self.jobs, self.stopped, self.submitted = {job.submission_id: job for job in jobs}, [], []
    def list_jobs(self): return list(self.jobs.values())
    def get_job_info(self, job_id): return self.jobs[job_id]
    def get_job_status(self, job_id): return self.jobs[job_id].status
    def stop_job(self, job_id):
        self.stopped.append(job_id)
        self.jobs[job_id].status = JobStatus.STOPPED

def job(number, status, **metadata):
    return JobDetails(submission_id=f"day-{number}", status=status, type="SUBMISSION", entrypoint="", metadata=metadata)

def hook(ray):
    submit = lambda url, *arguments, **rest: ray.submitted.append((rest["submission_id"], rest["metadata"]))
    return types.SimpleNamespace(ray_client=lambda url=None: ray, submit_ray_job=submit)

def operator(ray, **arguments):
    made = RerankJob(task_id="rerank", conn_id="", job_name="day", entrypoint="", runtime_env={}, **arguments)
    made.__dict__["hook"] = hook(ray)
    return made

def trigger(ray, **arguments):
    fixed = {"job_id": "day-1", "conn_id": "", "xcom_dashboard_url": None, "ray_cluster_yaml": None,
             "gpu_device_plugin_yaml": "", "poll_interval": 100, "fetch_logs": False}
    made = RerankTrigger(**fixed | arguments)
    made.__dict__["hook"] = hook(ray)
    return made
"""

ON_KILL = """
answers = []
for state in ["deferred", "failed", None, KeyError("Airflow is away")]:
    def states(**asked):
        if isinstance(state, Exception): raise state
        return {asked["run_ids"][0]: {asked["task_ids"][0]: state}}
    rerank_job.RuntimeTaskInstance.get_task_states = staticmethod(states)
    ray = Ray(job(1, "RUNNING"))
    made = trigger(ray)
    made.task_instance = types.SimpleNamespace(dag_id="rerank", task_id="rerank", run_id="run", map_index=-1)
    try:
        asyncio.run(made.on_kill())
    except KeyError:
        pass
    answers.append(ray.stopped)
print(json.dumps(answers))
"""

EXECUTE = """
answers = []
for live in [job(2, "RUNNING", airflow_run_id="mine"), job(2, "PENDING", airflow_run_id="other"), job(2, "RUNNING"),
             job(2, "SUCCEEDED", airflow_run_id="other")]:
    ray = Ray(job(1, "FAILED", airflow_run_id="mine"), live)
    try:
        operator(ray).execute({"run_id": "mine"})
    except BaseException as ended:
        words = type(ended).__name__ + ("" if isinstance(ended, TaskDeferred) else f": {ended}")
    answers.append([words, ray.stopped, ray.submitted])
print(json.dumps(answers))
"""

NO_INTERVAL = """
try:
    operator(Ray()).render_template_fields({"run_id": "manual__1"})
except Exception as error:
    print(json.dumps(f"{type(error).__name__}: {error}"))
"""

DEADLINE = """
async def first(made):
    event = await anext(made.run())
    return event.payload

ray = Ray(job(1, "RUNNING"))
try:
    operator(Ray(), execution_timeout=datetime.timedelta(hours=1)).execute({"run_id": "mine"})
except TaskDeferred as deferred:
    path, arguments = deferred.trigger.serialize()
begun = time.monotonic()
event = asyncio.run(first(trigger(ray, until=time.time() + 1)))
try:
    rerank_job.judge(event)
except Exception as error:
    raised = f"{type(error).__name__}: {error}"
left = arguments["until"] - time.time()
print(json.dumps([path, left, time.monotonic() - begun, ray.stopped, event["status"], raised]))
"""

BLACK_HOLE = """
rerank_job.REQUEST = (0.5, 0.5)
begun = time.monotonic()
try:
    rerank_job.Client(sys.argv[1])
except Exception as error:
    print(json.dumps([type(error).__name__, time.monotonic() - begun]))
"""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture
def asked(airflow_bin: Path, tmp_path: Path) -> Any:
    def ask(program: str, *arguments: str) -> Any:
        done = subprocess.run(
            [airflow_bin / "python", "-c", FAKES + program, *arguments],
            env=os.environ | {"PYTHONPATH": str(DAGS), "AIRFLOW_HOME": str(tmp_path), "RAY_AUTH_MODE": "disabled"},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    return ask


def test_a_trigger_that_moves_leaves_its_job_alone(asked: Any) -> None:
    deferred, failed, cleared, unknown = asked(ON_KILL)
    assert deferred == unknown == []
    assert failed == cleared == ["day-1"]


def test_only_a_job_of_the_same_dag_run_is_stopped(asked: Any) -> None:
    submitted = [["day-3", {"airflow_run_id": "mine"}]]
    refused = "AirflowFailException: Ray job day-2 of {} still runs: wait for it or stop it"
    assert asked(EXECUTE) == [
        ["TaskDeferred", ["day-2"], submitted],
        [refused.format("DAG run other"), [], []],
        [refused.format("somebody else"), [], []],
        ["TaskDeferred", [], submitted],
    ]


def test_a_run_without_an_interval_is_not_tried_again(asked: Any) -> None:
    assert asked(NO_INTERVAL) == (
        "AirflowFailException: DAG run manual__1 has no data interval: "
        "trigger it with a logical date, which says its day"
    )


def test_a_job_that_uses_up_its_time_is_stopped(asked: Any) -> None:
    path, left, waited, stopped, status, raised = asked(DEADLINE)
    assert path == "rerank_job.RerankTrigger"
    assert 3000 < left <= 3600
    assert 1 <= waited < 60  # it does not wait for the next look at the job, after 100 s
    assert stopped == ["day-1"] and status == "TIMEOUT"
    assert raised == ("RayAirflowException: Ray job day-1: TIMEOUT: execution_timeout is over, and the job was stopped")


def test_a_head_that_does_not_answer_holds_nobody_for_ever(asked: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes connections, and never says a word
        error, seconds = asked(BLACK_HOLE, f"http://127.0.0.1:{silent.getsockname()[1]}")
    assert error == "ReadTimeout" and seconds < 30
