"""One run at a time: who gets the lease, who waits for it, and who loses it."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from pipeline.output import lease
from pipeline.output.lease import Held, Lease, hold
from pipeline.storage.folder import Folder
from tests.conftest import ROOT

HOLD = """
import sys, time
from pipeline.output import lease
from pipeline.storage.folder import Folder
lease.BEAT = 0.2
with lease.hold(Folder(sys.argv[1])) as held:
    print("held", flush=True)
    while True:
        time.sleep(0.1)
        held.check()
"""


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "BEAT", 0.2)
    monkeypatch.setattr(lease, "STALE", 2.0)


@pytest.fixture(params=["local", "s3"])
def output(request: pytest.FixtureRequest, tmp_path: Path) -> Folder:
    if request.param == "s3":
        request.getfixturevalue("s3_server")
    return Folder({"local": str(tmp_path / "out"), "s3": f"s3://bucket/{tmp_path.name}"}[request.param])


@pytest.fixture
def holder(output: Folder) -> Any:
    """Another process that holds the output."""
    command = [sys.executable, "-c", HOLD, output.url]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout and process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def of_another_machine(output: Folder) -> None:
    """Makes the lease one that nobody here can judge by its process."""
    held = json.loads(output.read("lease/000001.json"))
    output.put("lease/000001.json", json.dumps(held | {"machine": "elsewhere", "host": "elsewhere"}).encode())


def test_a_run_leaves_no_lease_behind(output: Folder) -> None:
    with hold(output) as held:
        assert list(output.files("lease/")) == ["lease/000001.json"]
        held.check()
    with pytest.raises(ZeroDivisionError), hold(output):
        raise ZeroDivisionError
    assert output.files("lease/") == {}


def test_a_live_run_keeps_a_second_one_out(output: Folder, holder: subprocess.Popen) -> None:
    began = time.monotonic()
    says = rf"another run holds it, process {holder.pid} on .* since 20.*, and is alive"
    with pytest.raises(Held, match=says), hold(output):
        pass
    assert time.monotonic() - began < lease.STALE
    assert holder.poll() is None and output.files("lease/")
    assert Held.exit_code == 4


def test_a_run_of_this_machine_that_was_killed_is_replaced_at_once(output: Folder, holder: subprocess.Popen) -> None:
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    began = time.monotonic()
    with hold(output) as held:
        assert time.monotonic() - began < lease.STALE / 2
        assert list(output.files("lease/")) == ["lease/000001.json", "lease/000002.json"]
        held.check()
    assert output.files("lease/") == {}


def test_a_run_elsewhere_is_replaced_when_it_shows_no_sign_of_life(
    output: Folder, holder: subprocess.Popen, capfd: pytest.CaptureFixture
) -> None:
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    of_another_machine(output)
    began = time.monotonic()
    with hold(output):
        assert lease.STALE <= time.monotonic() - began < lease.STALE + 2
    assert "on elsewhere since 20" in capfd.readouterr().err


def test_a_run_that_slept_finds_itself_replaced(output: Folder, holder: subprocess.Popen) -> None:
    holder.send_signal(signal.SIGSTOP)
    of_another_machine(output)
    with hold(output) as held:
        holder.send_signal(signal.SIGCONT)
        _, errors = holder.communicate(timeout=20)
        assert holder.returncode == 1 and f"and process {os.getpid()} on " in errors and "has taken its place" in errors
        held.check()
        assert "lease/000002.json" in output.files("lease/")


def test_a_run_that_slept_through_another_from_beginning_to_end_finds_that_out(output: Folder) -> None:
    with hold(output) as sleeper:
        sleeper._over.set()  # it sleeps
        sleeper._thread.join()
        of_another_machine(output)
        with hold(output):
            pass
        sleeper.check()
        with pytest.raises(Held, match="another run, which has ended, has taken its place"):
            sleeper.confirm()
        with hold(output):  # a third
            pass


def test_of_many_at_once_one_holds(output: Folder) -> None:
    start, results = threading.Barrier(8), []

    def one(i: int) -> None:
        start.wait()
        try:
            with hold(output):
                results.append("held")
                time.sleep(1)
        except Held:
            results.append("kept out")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(one, range(8)))
    assert sorted(results) == ["held"] + ["kept out"] * 7


def test_a_store_that_fails_for_a_while_ends_no_run(
    output: Folder, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture
) -> None:
    put = Folder.put

    def fail(*unused: Any) -> None:
        raise OSError("503 Slow Down")

    with hold(output) as held:
        monkeypatch.setattr(Folder, "put", fail)
        time.sleep(1)
        monkeypatch.setattr(Folder, "put", put)
        time.sleep(0.5)
        held.check()
        assert json.loads(output.read("lease/000001.json"))["beat"] > 0
    assert capfd.readouterr().err.count("no sign of life could be put: 503 Slow Down") == 1


def test_a_process_id_that_was_given_again_is_another_process(output: Folder) -> None:
    first = Lease(output, 1)
    first._holder |= {"started": "1"}
    assert first.take()
    with hold(output):
        assert "lease/000002.json" in output.files("lease/")
    first.release()


def test_a_put_that_was_repeated_finds_itself(output: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    put_new = Folder.put_new
    monkeypatch.setattr(Folder, "put_new", lambda *given: put_new(*given) and put_new(*given))  # the answer was lost
    with hold(output) as held:
        held.confirm()


def test_a_store_that_never_answers_does_not_hold_up_what_the_run_has_to_say(
    output: Folder, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(lease, "LET_GO", 0.5)
    answers = threading.Event()
    with hold(output):
        monkeypatch.setattr(Folder, "files", lambda *unused: answers.wait(60) and {})
        ended = time.monotonic()
    assert time.monotonic() - ended < 20
    assert "lease/000001.json: could not be deleted within 0 s" in capfd.readouterr().err
    answers.set()


def test_a_lease_that_cannot_be_deleted_does_not_change_what_the_run_came_to(
    output: Folder, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture
) -> None:
    def fail(*unused: Any) -> None:
        raise PermissionError("no")

    with hold(output):
        monkeypatch.setattr(Folder, "delete", fail)
    assert "lease/000001.json: could not be deleted: no" in capfd.readouterr().err
