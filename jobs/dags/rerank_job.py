"""A job of jobs/rerank.py on a Ray cluster as one Airflow task: submit it, wait deferred, judge the driver's exit code.

Connection, submission and log come from astro-provider-ray; the rest of its operator would not do (0.4.0). It gives a
job a random id, so that nobody finds it again; ends the wait after ten minutes; takes a job that failed before the
first look for a success; cannot tell exit codes apart; deletes a killed task's job instead of stopping it, which Ray
refuses of one that runs, and does nothing for a task that is deferred. Its trigger asks Ray on the triggerer's event
loop, ends at the first answer that fails, and waits for the end of the log even if the job has ended. Its client waits
for an answer for ever.

The triggerer imports this file by name, so its folder must be on the PYTHONPATH there: docs/airflow.md.
"""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import cached_property
from typing import Any

from airflow.sdk.exceptions import AirflowFailException
from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance
from airflow.triggers.base import TriggerEvent
from airflow.utils.state import TaskInstanceState
from ray.job_submission import JobDetails, JobStatus, JobSubmissionClient
from ray_provider.constants import TERMINAL_JOB_STATUSES
from ray_provider.exceptions import RayAirflowException
from ray_provider.hooks import RayHook
from ray_provider.operators import SubmitRayJob
from ray_provider.triggers import RayJobTrigger

NO_RETRY = {2: "the config or the input is wrong", 3: "more rows failed than run.max_failed"}  # exit codes
STOPPED_WITHIN = 120.0  # seconds; Ray itself kills a driver 3 s after it asked it to end
REQUEST = (10.0, 60.0)  # seconds to connect to Ray's job server, and without a byte from it
ANSWERED_WITHIN, PATIENCE = 60.0, 600.0  # seconds for one answer of Ray, and without any before the task gives up
LOG_ENDS_WITHIN = 10.0  # seconds after the job
AFTER_DEADLINE = timedelta(minutes=10)  # in which the trigger stops a job that has used up execution_timeout
OWNER = "airflow_run_id"  # in the Ray job's metadata: the DAG run that submitted it


class Client(JobSubmissionClient):
    """Ray's, whose requests end: a head that swallows packets would else hold a thread of the triggerer for ever."""

    def _do_request(self, method: str, endpoint: str, **arguments: Any) -> Any:
        return super()._do_request(method, endpoint, **({"timeout": REQUEST} | arguments))


class Hook(RayHook):
    """The provider's connection; its password, which Airflow shows to nobody, is Ray's token."""

    ray_client_instance: JobSubmissionClient | None

    def ray_client(self, dashboard_url: str | None = None) -> JobSubmissionClient:
        if not self.ray_client_instance:
            token = self.get_connection(self.conn_id).password
            headers = ({"Authorization": f"Bearer {token}"} if token else {}) | self.headers
            where = dashboard_url or self.address
            self.ray_client_instance = Client(where, cookies=self.cookies, headers=headers, verify=self.verify)
        return self.ray_client_instance


class RerankJob(SubmitRayJob):
    """Stops what still runs under `job_name`, submits the entrypoint as `<job_name>-<n>`, and waits for its end.

    job_name: one for each output, e.g. of DAG and data interval; templated. A live job that another DAG run has
    submitted under it is not stopped: the task fails, without a retry. The rest is as in SubmitRayJob, without its
    setting up of clusters, and without its timeout: execution_timeout bounds a try, at whose end the job is stopped.
    """

    template_fields = (*SubmitRayJob.template_fields, "job_name")

    def __init__(self, *, job_name: str, **arguments: Any):
        super().__init__(job_timeout_seconds=0, **arguments)
        self.job_name = job_name

    @cached_property
    def hook(self) -> RayHook:
        return Hook(conn_id=self.conn_id)

    def render_template_fields(self, context: Any, jinja_env: Any = None) -> None:
        if context.get("data_interval_start") is None:  # templates would fail of it, and be tried again
            raise AirflowFailException(
                f"DAG run {context['run_id']} has no data interval: trigger it with a logical date, which says its day"
            )
        super().render_template_fields(context, jinja_env)

    def execute(self, context: Any) -> None:
        until = self.execution_timeout and time.time() + self.execution_timeout.total_seconds()
        self.dashboard_url = self._get_dashboard_url(context)
        client = self.hook.ray_client(self.dashboard_url)
        earlier = numbered(client, self.job_name)
        live = [job for job in earlier.values() if job.status not in TERMINAL_JOB_STATUSES]
        for job in live:
            if (owner := (job.metadata or {}).get(OWNER)) != context["run_id"]:
                whose = f"DAG run {owner}" if owner else "somebody else"
                raise AirflowFailException(f"Ray job {job.submission_id} of {whose} still runs: wait for it or stop it")
        for job in live:
            self._stop(client, str(job.submission_id))
        # Ray takes an id once: of two tries that race for a number one is refused, is retried, and stops the other
        self.job_id = f"{self.job_name}-{max(earlier, default=0) + 1}"
        self.hook.submit_ray_job(
            self.dashboard_url,
            self.entrypoint,
            self.runtime_env,
            submission_id=self.job_id,
            metadata={OWNER: context["run_id"]},
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
            until=until,
        )
        # The trigger keeps the deadline, for it can stop the job; Airflow's own is for a triggerer that is not there
        timeout = self.execution_timeout and self.execution_timeout + AFTER_DEADLINE
        self.defer(trigger=trigger, method_name="execute_complete", timeout=timeout)

    def execute_complete(self, context: Any, event: dict[str, Any]) -> None:
        judge(event)
        self.log.info("Ray job %s is done", event["job_id"])

    def on_kill(self) -> None:
        """Stops the job of a task that is killed before it is deferred; from then on the trigger does."""
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
    """Waits for the end of a Ray job, shows its log, and stops it if a person ends or clears the task meanwhile.

    until: the time (Unix, seconds) at which the job is stopped, whose event then has the status TIMEOUT; None: never.
    """

    def __init__(self, *, until: float | None = None, **arguments: Any):
        super().__init__(**arguments)
        self.until = until
        self._thread = ThreadPoolExecutor(1)  # its own: a head that is slow to answer holds up no other trigger

    def serialize(self) -> tuple[str, dict[str, Any]]:
        return f"{__name__}.{type(self).__name__}", super().serialize()[1] | {"until": self.until}

    @cached_property
    def hook(self) -> RayHook:
        return Hook(conn_id=self.conn_id)

    async def run(self) -> AsyncIterator[TriggerEvent]:
        log: asyncio.Task[None] | None = None
        answered = time.monotonic()
        try:
            while True:
                try:
                    state = await self._answer(self._ask)
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
                if self.until and time.time() >= self.until:
                    state = await self._end()
                    break
                await asyncio.sleep(self._pause())
            if log:
                await asyncio.wait([log], timeout=LOG_ENDS_WITHIN)
        finally:
            if log:
                log.cancel()
        yield TriggerEvent({"job_id": self.job_id, "exit_code": None} | state)

    async def on_kill(self) -> None:
        """Stops the job, unless the task still waits for it: then only the triggerer has changed, which Airflow tells
        in the same way. A later try that waits already has stopped this job itself. Raises, and stops nothing, where
        Airflow does not say how the task stands."""
        state = await asyncio.to_thread(self._task_state)
        if state == TaskInstanceState.DEFERRED:
            self.log.info("Another triggerer waits for Ray job %s from now on", self.job_id)
            return
        await self._answer(self._stop)
        self.log.info("Stopped Ray job %s, for its task is now %s", self.job_id, state)

    async def cleanup(self) -> None:
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _answer(self, ask: Callable[[], Any]) -> Any:
        answer = asyncio.get_running_loop().run_in_executor(self._thread, ask)
        return await asyncio.wait_for(answer, ANSWERED_WITHIN)

    def _pause(self) -> float:
        """Seconds until the next look: not beyond the deadline."""
        return min(self.poll_interval, max(0.0, self.until - time.time())) if self.until else self.poll_interval

    async def _end(self) -> dict[str, Any]:
        """Stops the job, which has used up its time, and returns its TIMEOUT when it has ended, or cannot be ended."""
        ends, trouble = time.monotonic() + STOPPED_WITHIN, "Ray does not stop it"
        while time.monotonic() < ends:
            try:
                if (await self._answer(self._ask))["status"] in ENDED:
                    return {"status": "TIMEOUT", "message": "execution_timeout is over, and the job was stopped"}
                await self._answer(self._stop)
            except Exception as error:  # asked again: a job that goes on holds the GPUs
                trouble = f"Ray gives no answer: {error}"
                self.log.warning("Ray gave no answer about job %s: %s", self.job_id, error)
            await asyncio.sleep(1)
        return {"status": "TIMEOUT", "message": f"execution_timeout is over, and the job may still run: {trouble}"}

    def _stop(self) -> None:
        self.hook.ray_client(self.dashboard_url).stop_job(self.job_id)

    def _task_state(self) -> str | None:
        """How the task of this trigger stands now, whichever its try; None if it has no state, e.g. just cleared."""
        ti: Any = self.task_instance
        place = {"dag_id": ti.dag_id, "task_ids": [ti.task_id], "run_ids": [ti.run_id], "map_index": ti.map_index}
        states = RuntimeTaskInstance.get_task_states(**place).get(ti.run_id, {})
        return states.get(ti.task_id if ti.map_index < 0 else f"{ti.task_id}_{ti.map_index}")

    def _ask(self) -> dict[str, Any]:
        """The job's state as JSON-ready data. Raises what Ray's client raises where Ray does not answer."""
        try:
            job = self.hook.ray_client(self.dashboard_url).get_job_info(self.job_id)
        except RuntimeError as error:
            if "status code 404" in str(error):
                return {"status": "GONE", "message": "the cluster does not know it; was it restarted?"}
            raise
        return {"status": str(job.status.value), "exit_code": job.driver_exit_code, "message": job.message or ""}

    async def _show_log(self) -> None:
        try:
            await self._stream_logs()
        except Exception as error:  # without its log the job is worth as much
            self.log.warning("the log of job %s cannot be followed on: %s", self.job_id, error)


ENDED = {status.value for status in TERMINAL_JOB_STATUSES} | {"GONE"}


def numbered(client: JobSubmissionClient, job_name: str) -> dict[int, JobDetails]:
    """Number -> job, of all jobs `<job_name>-<number>` that the cluster knows, ended or not."""
    jobs = client.list_jobs()
    found = ((re.fullmatch(rf"{re.escape(job_name)}-(\d+)", job.submission_id or ""), job) for job in jobs)
    return {int(match[1]): job for match, job in found if match}


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
