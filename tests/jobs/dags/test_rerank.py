"""The DAG as it is really used: an Airflow of several processes, a Ray cluster, a real model, runs that are killed.

.venv/bin/python -m pytest -m slow tests/jobs/dags        (it installs Airflow into build/airflow)
"""

import json
import os
import re
import signal
import time
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import quote

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from ray.job_submission import JobStatus, JobSubmissionClient

from pipeline.config import load
from pipeline.input.result import read_result
from pipeline.run import rerank
from pipeline.storage.folder import Folder
from tests.conftest import ROOT
from tests.jobs.dags.conftest import DAGS, FIRST_DAY, YESTERDAY, Airflow, wait_until

ROWS, UNIT = 240, 10
KILLED, LEFT_ALONE, ALIKE = "2026-01-05", "2026-01-06", "2026-01-07"  # by a backfill
NEW = 60  # rows of the third, whose others are the last ones of the day before
WITHOUT_INPUT, ENDED_BY_HAND = FIRST_DAY, YESTERDAY  # by the schedule


@pytest.fixture(scope="module")
def ray_jobs(cluster: dict[str, str]) -> JobSubmissionClient:
    return JobSubmissionClient(cluster["RAY_ADDRESS"], headers={"Authorization": f"Bearer {ray_token()}"})


def ray_token() -> str:
    """The address that `ray start` left for jobs from this machine."""
    return (Path.home() / ".ray" / "auth_token").read_text().strip()


@pytest.fixture(scope="module")
def days(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with pairs/dt=<day>, of other pairs for each day but ALIKE, and ranked/ to be."""
    folder = tmp_path_factory.mktemp("days")
    for day, first in {KILLED: 0, LEFT_ALONE: ROWS, ALIKE: ROWS + NEW, ENDED_BY_HAND: 3 * ROWS}.items():
        path = folder / "pairs" / f"dt={day}" / "pairs.parquet"
        path.parent.mkdir(parents=True)
        rows = range(first, first + ROWS)
        table = {
            "query": [f"which thing has the number {row % 60}" for row in rows],
            "doc": [f"document {row} about " + f"the things of number {row * row % 997} " * 10 for row in rows],
            "score": [float(row % 11) for row in rows],
        }
        pq.write_table(pa.table(table), path)
    return folder


@pytest.fixture(scope="module")
def overrides(minilm: str) -> list[str]:
    return [f"reranker.model={minilm}", f"run.unit_rows={UNIT}", "run.deterministic=true"]


@pytest.fixture(scope="module")
def scheduled(airflow: Airflow, cluster: dict[str, str], days: Path, overrides: list[str]) -> Airflow:
    """The DAG with its connection and variables, switched on."""
    extra = json.dumps({"address": cluster["RAY_ADDRESS"]})
    connection = {"connection_id": "ray_default", "conn_type": "ray", "password": ray_token(), "extra": extra}
    shown = airflow.ask("/api/v2/connections", connection) | airflow.ask("/api/v2/connections/ray_default")
    assert ray_token() not in json.dumps(shown)
    variables = {
        "code": str(ROOT),
        "config": "configs/demo.yaml",
        "input": f"{days}/pairs",
        "output": f"{days}/ranked",
        "overrides": " ".join(overrides),
        "reuse_days": "1",
    }
    for name, value in variables.items():
        airflow.ask("/api/v2/variables", {"key": f"rayrank_{name}", "value": value})
    airflow.ask("/api/v2/dags/rerank", {"is_paused": False}, method="PATCH")
    return airflow


def backfill(airflow: Airflow, first: str, last: str) -> None:
    body = {"dag_id": "rerank", "from_date": f"{first}T00:00:00Z", "to_date": f"{last}T00:00:00Z", "max_active_runs": 1}
    for _ in range(60):
        try:
            airflow.ask("/api/v2/backfills", body)
            return
        except HTTPError as error:
            if error.code != 503:
                raise
            time.sleep(1)  # SQLite is locked while the scheduler writes
    pytest.fail("Airflow took no backfill")


def job_name(day: str) -> str:
    return f"rerank-{day.replace('-', '')}T000000"


def jobs_of(ray_jobs: JobSubmissionClient, day: str) -> dict[str, int | None]:
    """Exit code of the driver of each job of a day, by the job's id."""
    ids = {job.submission_id: job.driver_exit_code for job in ray_jobs.list_jobs()}
    return {name: code for name, code in ids.items() if name and name.startswith(job_name(day))}


def score_files(output: Path) -> dict[str, tuple[int, int]]:
    """Name -> inode and time of the last change of each unit's score file."""
    found = output.glob("scores/*/*.parquet")
    return {path.name: (path.stat().st_ino, path.stat().st_mtime_ns) for path in found}


def ranked(output: Path) -> pa.Table:
    manifest = read_result(Folder(str(output)))
    assert manifest
    return pa.concat_tables(pq.read_table(output / part) for part in manifest["parts"])


def published(airflow: Airflow) -> list[dict[str, Any]]:
    """The asset's events, first to last."""
    return [event["extra"] for event in airflow.ask("/api/v2/assets/events?order_by=timestamp")["asset_events"]]


def test_the_page_names_what_the_dag_asks_for() -> None:
    page = (ROOT / "docs" / "airflow.md").read_text()
    code = "".join(path.read_text() for path in DAGS.glob("*.py"))
    compile(code, "jobs/dags", "exec")
    asked = set(re.findall(r"rayrank_\w+|ray_default|[a-z_]*active_runs|CronDataIntervalTimetable", code))
    assert {"rayrank_code", "rayrank_input", "rayrank_output", "rayrank_overrides", "ray_default"} < asked
    assert [name for name in asked if name not in page] == []
    named = set(re.findall(r"rayrank_\w+|(?<!/)\b(?:rerank|rerank_job)\.py", page))
    assert [name for name in named if name not in asked and not (DAGS / name).exists()] == []


@pytest.mark.slow
@pytest.mark.timeout(2400)
def test_an_interval_without_input_fails_once(scheduled: Airflow, ray_jobs: JobSubmissionClient) -> None:
    day = WITHOUT_INPUT
    failed = scheduled.wait(day, "rerank", {"failed", "success"})
    assert failed["state"] == "failed"
    assert failed["try_number"] <= failed["max_tries"]  # a retry was to be had
    assert jobs_of(ray_jobs, day) == {f"{job_name(day)}-1": 2}  # always the first that gets as far as Ray
    assert scheduled.wait(day, "publish", {"upstream_failed", "success"})["state"] == "upstream_failed"


@pytest.mark.slow
@pytest.mark.timeout(2400)
def test_who_ends_the_task_ends_the_job(scheduled: Airflow, ray_jobs: JobSubmissionClient) -> None:
    """The run of the second day, which is not left out though it was over before the DAG was switched on."""
    scheduled.wait(ENDED_BY_HAND, "rerank", {"deferred"})
    job = f"{job_name(ENDED_BY_HAND)}-1"
    wait_until(lambda: ray_jobs.get_job_status(job) == JobStatus.RUNNING, 120, scheduled.tail)
    scheduled.ask(str(scheduled.task_path(ENDED_BY_HAND, "rerank")), {"new_state": "failed"}, method="PATCH")
    wait_until(lambda: ray_jobs.get_job_status(job) == JobStatus.STOPPED, 120, scheduled.tail)


@pytest.mark.slow
@pytest.mark.timeout(2400)
def test_of_three_intervals_one_is_killed_and_resumes_and_one_takes_the_scores_of_the_day_before(
    scheduled: Airflow, ray_jobs: JobSubmissionClient, days: Path, overrides: list[str], tmp_path: Path
) -> None:
    of_it = {"airflow_run_id": f"backfill__{date.fromisoformat(KILLED) + timedelta(days=1)}T00:00:00+00:00"}
    left_over = ray_jobs.submit_job(entrypoint="sleep 1000", submission_id=f"{job_name(KILLED)}-1", metadata=of_it)
    output = days / "ranked" / f"dt={KILLED}"
    backfill(scheduled, KILLED, ALIKE)

    wait_until(lambda: len(score_files(output)) >= 3, 900, scheduled.tail, every=0.1)
    driver = ray_jobs.get_job_info(f"{job_name(KILLED)}-2").driver_info
    assert driver
    os.kill(int(driver.pid), signal.SIGKILL)
    assert scheduled.task(KILLED, "rerank")["state"] == "deferred"  # waiting costs no worker
    assert ray_jobs.get_job_status(left_over) == JobStatus.STOPPED
    assert not (output / "_SUCCESS").exists()

    scheduled.wait(KILLED, "rerank", {"up_for_retry"})
    before = score_files(output)
    assert 3 <= len(before) < ROWS / UNIT
    assert published(scheduled) == []

    assert scheduled.wait(KILLED, "publish", {"success", "upstream_failed"})["state"] == "success"
    assert scheduled.task(KILLED, "rerank")["try_number"] > 1
    assert jobs_of(ray_jobs, KILLED) == {left_over: None, f"{job_name(KILLED)}-2": 137, f"{job_name(KILLED)}-3": 0}
    manifest = read_result(Folder(str(output)))
    assert manifest
    assert manifest["figures"]["scored_now"] == ROWS - len(before) * UNIT
    after = score_files(output)
    assert len(after) == ROWS / UNIT
    assert {name: after[name] for name in before} == before

    assert scheduled.wait(LEFT_ALONE, "publish", {"success", "upstream_failed"})["state"] == "success"
    assert jobs_of(ray_jobs, LEFT_ALONE) == {f"{job_name(LEFT_ALONE)}-1": 0}
    assert scheduled.wait(ALIKE, "publish", {"success", "upstream_failed"})["state"] == "success"
    assert [event["output"] for event in published(scheduled)] == [
        f"{days}/ranked/dt={day}" for day in (KILLED, LEFT_ALONE, ALIKE)
    ]
    scored = [(event["figures"]["scored_now"], event["figures"]["reused"]) for event in published(scheduled)]
    assert scored[1:] == [(ROWS, 0), (NEW, ROWS - NEW)]
    assert published(scheduled)[0]["figures"] == manifest["figures"]

    paths = [f"input.path={days}/pairs/dt={KILLED}", f"output.path={tmp_path / 'direct'}"]
    rerank(load(str(ROOT / "configs/demo.yaml"), [*paths, *overrides]))
    assert ranked(output).equals(ranked(tmp_path / "direct"))


@pytest.mark.slow
@pytest.mark.timeout(2400)
def test_a_run_without_an_interval_fails_once(scheduled: Airflow) -> None:
    run = scheduled.ask("/api/v2/dags/rerank/dagRuns", {"logical_date": None})["dag_run_id"]
    path = f"/api/v2/dags/rerank/dagRuns/{quote(run)}/taskInstances/rerank"
    wait_until(lambda: scheduled.ask(path)["state"] in ("failed", "up_for_retry"), 600, scheduled.tail)
    failed = scheduled.ask(path)
    assert (failed["state"], failed["try_number"]) == ("failed", 1)
