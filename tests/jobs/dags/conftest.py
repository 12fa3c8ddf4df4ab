"""A real Airflow in a virtual environment of its own: scheduler, triggerer, DAG processor, API server, workers."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import ray

from tests.conftest import ROOT

PACKAGES = ["apache-airflow==3.3.2", "astro-provider-ray==0.4.0", f"ray=={ray.__version__}"]
DAGS = ROOT / "jobs" / "dags"
FIRST_DAY, YESTERDAY = (str(datetime.now(UTC).date() - timedelta(days=days)) for days in (2, 1))


@pytest.fixture(scope="session")
def airflow_bin() -> Path:
    """The bin folder of an environment with Airflow and the provider, made once, in build/airflow."""
    home = ROOT / "build" / "airflow"
    done = home / "installed.txt"
    if not (done.exists() and done.read_text().split() == PACKAGES):
        subprocess.run([sys.executable, "-m", "venv", "--clear", home], check=True)
        subprocess.run([home / "bin/python", "-m", "pip", "install", "-qq", "uv"], check=True)
        install = [
            "install",
            "-q",
            "--compile-bytecode",
            "-p",
            str(home / "bin/python"),
        ]  # bytecode: three times as fast
        subprocess.run([home / "bin/uv", "pip", *install, *PACKAGES], check=True)
        done.write_text("\n".join(PACKAGES))
    return home / "bin"


@dataclass(frozen=True)
class Airflow:
    """The actions of a person in Airflow's pages, by the interface that the pages use."""

    url: str
    token: str
    log: Path

    def ask(self, path: str, body: dict[str, Any] | None = None, method: str | None = None) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        with urllib.request.urlopen(urllib.request.Request(self.url + path, data, headers, method=method)) as answer:
            return json.load(answer)

    def runs(self) -> list[dict[str, Any]]:
        """The DAG's runs that have a data interval, by it."""
        runs = [run for run in self.ask("/api/v2/dags/rerank/dagRuns")["dag_runs"] if run["data_interval_start"]]
        return sorted(runs, key=lambda run: run["data_interval_start"])

    def task_path(self, day: str, task_id: str) -> str | None:
        """Where the task of the run is whose data interval begins on a day; None where there is none yet."""
        ids = [run["dag_run_id"] for run in self.runs() if run["data_interval_start"].startswith(day)]
        return f"/api/v2/dags/rerank/dagRuns/{ids[0]}/taskInstances/{task_id}" if ids else None

    def task(self, day: str, task_id: str) -> dict[str, Any]:
        """State, number of the try and times of a task; an empty one where there is none yet."""
        path = self.task_path(day, task_id)
        return self.ask(path) if path else {}

    def wait(self, day: str, task_id: str, states: set[str], seconds: float = 600) -> dict[str, Any]:
        """The task when it is in one of these states; a failure of the test, with Airflow's log, when it is not."""
        found: dict[str, Any] = {}

        def there() -> bool:
            found.update(self.task(day, task_id))
            return found.get("state") in states

        wait_until(there, seconds, lambda: f"{task_id} of {day} is {found}\n{self.tail()}")
        return found

    def tail(self) -> str:
        lines = self.log.read_text().splitlines()
        return "\n".join([line for line in lines if "request finished" not in line][-60:])


def wait_until(what: Callable[[], object], seconds: float, otherwise: Callable[[], str], every: float = 1) -> None:
    until = time.monotonic() + seconds
    while not what():
        if time.monotonic() > until:
            pytest.fail(otherwise())
        time.sleep(every)


@pytest.fixture(scope="module")
def airflow(airflow_bin: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Airflow]:
    """A started one that has jobs/dags as its folder of DAGs, whose retries come after seconds."""
    home = tmp_path_factory.mktemp("airflow")
    port, *others = free_ports(3)
    settings = {
        "CORE__DAGS_FOLDER": DAGS,
        "CORE__LOAD_EXAMPLES": False,
        "CORE__DAGBAG_IMPORT_TIMEOUT": 200,
        "CORE__DEFAULT_TASK_RETRY_DELAY": 5,
        "CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": True,
        "CORE__EXECUTION_API_SERVER_URL": f"http://127.0.0.1:{port}/execution/",
        "CORE__PARALLELISM": 2,
        "WORKERS__EXECUTION_API_TIMEOUT": 120,  # a busy machine is no lost worker
        "API__HOST": "127.0.0.1",
        "API__PORT": port,
        "API__BASE_URL": f"http://127.0.0.1:{port}",
        "API__WORKERS": 1,
        "LOGGING__WORKER_LOG_SERVER_PORT": others[0],
        "LOGGING__TRIGGER_LOG_SERVER_PORT": others[1],
        "DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": 600,
        "SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": 0.5,
    }
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "AIRFLOW"))}
    environment |= {f"AIRFLOW__{name}": str(value) for name, value in settings.items()}
    environment |= {"AIRFLOW_HOME": str(home), "PYTHONPATH": str(DAGS), "NO_PROXY": "*"}
    environment["AIRFLOW_VAR_RAYRANK_FIRST_DAY"] = FIRST_DAY
    environment["PATH"] = f"{airflow_bin}:{environment['PATH']}"
    log = home / "standalone.log"
    with log.open("w") as out:
        started = subprocess.Popen(
            ["airflow", "standalone"], env=environment, stdout=out, stderr=out, cwd=home, start_new_session=True
        )
    try:
        url = f"http://127.0.0.1:{port}"
        token = ""

        def ready() -> bool:
            nonlocal token
            try:
                token = token or json.load(urllib.request.urlopen(f"{url}/auth/token"))["access_token"]
                return bool(Airflow(url, token, log).ask("/api/v2/dags/rerank"))
            except (urllib.error.URLError, ConnectionError):  # not up yet, or the DAG is not read yet
                return False

        wait_until(ready, 400, lambda: f"Airflow did not start:\n{Airflow(url, token, log).tail()}")
        yield Airflow(url, token, log)
    finally:
        os.killpg(started.pid, signal.SIGKILL)  # all of it, at once: nobody needs its state any more
        started.wait()


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports
