"""A job of jobs/rerank.py on a Ray cluster as one Airflow task: submit it, wait deferred, judge the driver's exit code.

Connection, submission and log come from astro-provider-ray; the rest of its operator would not do (0.4.0). It gives a
job a random id, so that nobody finds it again; ends the wait after ten minutes; takes a job that failed before the
first look for a success; cannot tell exit codes apart; deletes a killed task's job instead of stopping it, which Ray
refuses of one that runs, and does nothing for a task that is deferred. Its trigger asks Ray on the triggerer's event
loop, ends at the first answer that fails, and waits for the end of the log even if the job has ended.

The triggerer imports this file by name, so its folder must be on the PYTHONPATH there: docs/airflow.md.
"""

import asyncio
import re
import time
from collections.abc import AsyncIterator
from typing import Any

from airflow.sdk.exceptions import AirflowFailException
from airflow.triggers.base import TriggerEvent
from ray.job_submission import JobStatus, JobSubmissionClient
from ray_provider.constants import TERMINAL_JOB_STATUSES
from ray_provider.exceptions import RayAirflowException
from ray_provider.operators import SubmitRayJob
from ray_provider.triggers import RayJobTrigger

NO_RETRY = {2: "the config or the input is wrong", 3: "more rows failed than run.max_failed"}  # exit codes
STOPPED_WITHIN = 120.0  # seconds; Ray itself kills a driver 3 s after it asked it to end
ANSWERED_WITHIN, PATIENCE = 60.0, 600.0  # seconds for one answer of Ray, and without any before the task gives up
LOG_ENDS_WITHIN = 10.0  # seconds after the job


class RerankJob(SubmitRayJob):
    """Stops what still runs under `job_name`, submits the entrypoint as `<job_name>-<n>`, and waits for its end.

    job_name: one for each output, e.g. of DAG and data interval; templated. The rest is as in SubmitRayJob, without
    its timeout, for which Airflow has execution_timeout, and without its setting up of clusters.
    """

    template_fields = (*SubmitRayJob.template_fields, "job_name")

    def __init__(self, *, job_name: str, **arguments: Any):
        super().__init__(job_timeout_seconds=0, **arguments)
        self.job_name = job_name

    def execute(self, context: Any) -> None:
        self.dashboard_url = self._get_dashboard_url(context)
        client = self.hook.ray_client(self.dashboard_url)
        earlier = numbered(client, self.job_name)
        for job_id in earlier.values():
            self._stop(client, job_id)
        # Ray takes an id once: of two tries that race for a number one is refused, is retried, and stops the other
        self.job_id = f"{self.job_name}-{max(earlier, default=0) + 1}"
        self.hook.submit_ray_job(
            self.dashboard_url,
            self.entrypoint,
            self.runtime_env,
            submission_id=self.job_id,
            entrypoint_num_cpus=self.num_cpus,
            entrypoint_num_gpus=self.num_gpus,
            entrypoint_memory=self.memory,
            entrypoint_resources=self.ray_resources,
        )
        trigger = RerankTrigger(
            job_id=self.job_id,
            conn_id=self.conn_id,
            xcom_dashboard_url=self.dashboard_url,
            ray_cluster_yaml=None,
            gpu_device_plugin_yaml="",
            poll_interval=self.poll_interval,
            fetch_logs=self.fetch_logs,
        )
        self.defer(trigger=trigger, method_name="execute_complete", timeout=self.execution_timeout)

    def execute_complete(self, context: Any, event: dict[str, Any]) -> None:
        judge(event)
        self.log.info("Ray job %s is done", event["job_id"])

    def on_kill(self) -> None:
        """Of a task that is killed before it is deferred; from then on it is the trigger's."""
        if self.job_id:
            self.hook.ray_client(self.dashboard_url).stop_job(self.job_id)

    def _stop(self, client: JobSubmissionClient, job_id: str) -> None:
        """Returns when the job has ended, whose output is then free. Raises if Ray does not bring it to an end."""
        until = time.monotonic() + STOPPED_WITHIN
        while (status := client.get_job_status(job_id)) not in TERMINAL_JOB_STATUSES:
            if time.monotonic() > until:
                raise RayAirflowException(f"Ray job {job_id} of an earlier try is still {status} and cannot be stopped")
            self.log.info("Stopping Ray job %s of an earlier try, which is still %s", job_id, status)
            client.stop_job(job_id)
            time.sleep(1)


class RerankTrigger(RayJobTrigger):
    """Waits for the end of a Ray job, shows its log, and stops it if a person ends or clears the task meanwhile."""

    def serialize(self) -> tuple[str, dict[str, Any]]:
        return f"{__name__}.{type(self).__name__}", super().serialize()[1]

    async def run(self) -> AsyncIterator[TriggerEvent]:
        log: asyncio.Task[None] | None = None
        answered = time.monotonic()
        try:
            while True:
                try:
                    state = await asyncio.wait_for(asyncio.to_thread(self._ask), ANSWERED_WITHIN)
                    answered = time.monotonic()
                except Exception as error:  # the head is being replaced, the network gone, ...: the job may well live
                    self.log.warning("Ray gave no answer about job %s: %s", self.job_id, error)
                    silent = time.monotonic() - answered
                    state = {"status": "UNREACHABLE", "message": f"no answer for {silent:.0f} s: {error}"}
                    if silent > PATIENCE:
                        break
                else:
                    if state["status"] in ENDED:
                        break
                    if self.fetch_logs and log is None:
                        log = asyncio.create_task(self._show_log())
                await asyncio.sleep(self.poll_interval)
            if log:
                await asyncio.wait([log], timeout=LOG_ENDS_WITHIN)
        finally:
            if log:
                log.cancel()
        yield TriggerEvent({"job_id": self.job_id, "exit_code": None} | state)

    async def on_kill(self) -> None:
        await asyncio.to_thread(lambda: self.hook.ray_client(self.dashboard_url).stop_job(self.job_id))
        self.log.info("Stopped Ray job %s", self.job_id)

    def _ask(self) -> dict[str, Any]:
        """The job's state as JSON-ready data. Raises what Ray's client raises where Ray does not answer."""
        try:
            job = self.hook.ray_client(self.dashboard_url).get_job_info(self.job_id)
        except RuntimeError as error:
            if "status code 404" in str(error):
                return {"status": "GONE", "message": "the cluster does not know it; was it started anew?"}
            raise
        return {"status": str(job.status.value), "exit_code": job.driver_exit_code, "message": job.message or ""}

    async def _show_log(self) -> None:
        try:
            await self._stream_logs()
        except Exception as error:  # without its log the job is worth as much
            self.log.warning("the log of job %s cannot be followed on: %s", self.job_id, error)


ENDED = {status.value for status in TERMINAL_JOB_STATUSES} | {"GONE"}


def numbered(client: JobSubmissionClient, job_name: str) -> dict[int, str]:
    """Number -> id of all jobs `<job_name>-<number>` that the cluster knows, ended or not."""
    ids = (job.submission_id or "" for job in client.list_jobs())
    found = (re.fullmatch(rf"{re.escape(job_name)}-(\d+)", name) for name in ids)
    return {int(match[1]): match[0] for match in found if match}


def judge(event: dict[str, Any]) -> None:
    """Raises AirflowFailException where a retry cannot help, RayAirflowException where it goes on from what is scored.

    event: status, exit_code (of the driver, or None), message and job_id of a job, as RerankTrigger gives them.
    """
    if event["status"] == JobStatus.SUCCEEDED.value:
        return
    code = event["exit_code"]
    lines = event["message"].splitlines()
    words = next((line for line in reversed(lines) if line.startswith("rayrank: ")), event["message"][-2000:])
    ended = f"Ray job {event['job_id']}: {event['status']}" + ("" if code is None else f", exit code {code}")
    if code in NO_RETRY:
        raise AirflowFailException(f"{ended}, {NO_RETRY[code]}, so there is no retry: {words}")
    raise RayAirflowException(f"{ended}: {words}")
