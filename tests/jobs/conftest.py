"""A Ray cluster with a job server, as people have one, for the tests of what is submitted to it."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

RAY = str(Path(sys.executable).parent / "ray")
PORT, DASHBOARD, AGENT = 46379, 48265, 48266


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The environment in which `ray job submit` finds a started cluster."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    plain["PATH"] = f"{Path(RAY).parent}:{plain['PATH']}"  # where a job finds `python`
    # A job reads its address from Ray's folder, where any other cluster of the machine writes its own.
    plain["RAY_TMPDIR"] = tempfile.mkdtemp(prefix="jobs-")  # pytest's folders have names too long for a socket's
    log = tmp_path_factory.mktemp("ray") / "head.log"
    start = [RAY, "start", "--head", "--block", f"--port={PORT}", "--num-cpus=2", "--disable-usage-stats"]
    start += ["--include-dashboard=true", "--dashboard-host=127.0.0.1", f"--dashboard-port={DASHBOARD}"]
    start += [f"--dashboard-agent-listen-port={AGENT}"]  # its default may be another cluster's, and then no job starts

    def start_head() -> subprocess.Popen[bytes]:
        with log.open("a") as out:
            return subprocess.Popen(start, env=plain, stdout=out, stderr=out, start_new_session=True)

    head = start_head()
    environment = plain | {"RAY_ADDRESS": f"http://127.0.0.1:{DASHBOARD}", "RAY_AUTH_MODE": "token"}
    try:
        for _ in range(30):
            if (
                subprocess.run([RAY, "job", "submit", "--", "true"], env=environment, capture_output=True).returncode
                == 0
            ):
                break
            if head.poll() is not None:  # Ray gives its start 30 s, which other tests may take from it
                head = start_head()
        else:
            pytest.fail(f"the cluster did not start: {log.read_text()}")
        yield environment
    finally:
        processes = [] if head.poll() is not None else [head, *psutil.Process(head.pid).children(recursive=True)]
        for process in processes:  # its own; `ray stop` would end those of every cluster of this machine
            with suppress(psutil.NoSuchProcess):
                process.kill()
        head.wait(60)
        shutil.rmtree(plain["RAY_TMPDIR"], ignore_errors=True)
