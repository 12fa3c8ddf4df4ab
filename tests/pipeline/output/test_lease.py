"""One run at a time: which run gets the lease, which waits for it, and which loses it.

Runs are in this process, but for those that are killed. Two runs whose clocks are one see each other beat; a run whose
own clock stands still is suspended.
"""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from pipeline.output.lease import BEAT_SECONDS, STALE_SECONDS, Held, Lease, hold, read_holder, read_progress
from pipeline.storage.folder import Folder
from tests.clock import ManualClock
from tests.conftest import ROOT
from tests.s3_faults import LAG, always, calm, in_front_of


@dataclass(frozen=True)
class Breakable(Folder):
    """A folder with methods that a test breaks: name of the method -> its replacement."""

    broken: dict[str, Callable[..., Any]] = field(default_factory=dict)

    def put(self, name: str, data: bytes) -> None:
        self.broken.get("put", super().put)(name, data)

    def delete(self, names: list[str]) -> None:
        self.broken.get("delete", super().delete)(names)

    def names(self, prefix: str = "") -> list[str]:
        return self.broken.get("names", super().names)(prefix)


@pytest.fixture(params=["local", "s3"])
def output(request: pytest.FixtureRequest, tmp_path: Path) -> Breakable:
    if request.param == "s3":
        request.getfixturevalue("s3_server")
    return Breakable({"local": str(tmp_path / "out"), "s3": f"s3://bucket/{tmp_path.name}"}[request.param])


@contextmanager
def hold_by(clock: ManualClock, output: Folder) -> Iterator[Lease]:
    with hold(output, clock=clock) as held:
        clock.wait_for_threads(1)
        yield held


def put_lease(output: Folder, **changes: Any) -> None:
    """Leaves a lease behind whose holder differs from this process in some respects."""
    with hold(output):
        holder = json.loads(output.read("lease/000001.json"))
    output.put("lease/000001.json", json.dumps(holder | changes).encode())


def test_a_run_leaves_no_lease_behind(output: Folder) -> None:
    with hold(output) as held:
        assert list(output.files("lease/")) == ["lease/000001.json"]
        held.check()
    with pytest.raises(ZeroDivisionError), hold(output):
        raise ZeroDivisionError
    assert output.files("lease/") == {}


def test_a_live_run_keeps_a_second_one_out(output: Folder) -> None:
    clock = ManualClock()
    with hold_by(clock, output) as held:
        message = rf"another run holds it, process {os.getpid()} on .* since 20.*, and is alive"
        with pytest.raises(Held, match=message), hold(output, clock=clock):
            pass
        assert clock.monotonic() < STALE_SECONDS
        held.check()
        assert list(output.files("lease/")) == ["lease/000001.json"]
    assert Held.exit_code == 4


def test_a_run_elsewhere_is_replaced_when_it_shows_no_sign_of_life(
    output: Folder, capfd: pytest.CaptureFixture
) -> None:
    put_lease(output, machine="elsewhere", host="elsewhere", token="its own")
    clock = ManualClock()
    with hold(output, clock=clock):
        assert STALE_SECONDS <= clock.monotonic() < STALE_SECONDS + BEAT_SECONDS
    assert "on elsewhere since 20" in capfd.readouterr().err


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"null", b"{}"])
def test_a_lease_that_cannot_be_read_is_that_of_a_run_elsewhere(output: Folder, data: bytes) -> None:
    output.put("lease/000001.json", data)
    clock = ManualClock()
    with hold(output, clock=clock):
        assert STALE_SECONDS <= clock.monotonic() < STALE_SECONDS + BEAT_SECONDS


def test_a_process_id_that_was_given_again_is_another_process(output: Folder) -> None:
    put_lease(output, started="1", token="its own")
    clock = ManualClock()
    with hold(output, clock=clock):
        assert clock.monotonic() == 0
        assert "lease/000002.json" in output.files("lease/")


def test_a_lease_says_how_far_its_run_is(output: Folder) -> None:
    clock, read = ManualClock(), lambda: read_progress(output)
    assert read() == {}
    with hold_by(clock, output) as held:
        assert read() == {}
        held.note_progress("fingerprint", 3, 10)
        clock.sleep(BEAT_SECONDS)
        assert read() == {"fingerprint": [3, 10]}
        held.note_progress("fingerprint", 10, 10)
        assert read() == {"fingerprint": [3, 10]}, "it is no request of its own"
        clock.sleep(BEAT_SECONDS)
        assert read() == {"fingerprint": [10, 10]}
    assert read() == {}


def test_the_lease_of_a_run_that_died_still_says_it(output: Folder) -> None:
    assert read_holder(output) is None
    put_lease(output, started="1", pid=4321, host="here", progress={"fingerprint": [3, 10]})
    assert read_progress(output) == {"fingerprint": [3, 10]}
    assert re.fullmatch(r"process 4321 on here since 20\S+, which is dead", read_holder(output) or "")
    with hold(output):
        assert read_progress(output) == {}, "another run has taken its place"
        assert (read_holder(output) or "").startswith(f"process {os.getpid()} on ")
        assert not (read_holder(output) or "").endswith("dead")


HOLD = """
import sys, time
from pipeline.output.lease import hold
from pipeline.storage.folder import Folder
with hold(Folder(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize("output", ["local", pytest.param("s3", marks=pytest.mark.slow)], indirect=True)
def test_a_run_of_this_machine_that_was_killed_is_replaced_at_once(output: Folder) -> None:
    command = [sys.executable, "-c", HOLD, output.url]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout and process.stdout.readline() == "held\n"
        process.send_signal(signal.SIGKILL)
        process.wait()
    clock = ManualClock()
    with hold(output, clock=clock) as held:
        assert clock.monotonic() == 0
        assert list(output.files("lease/")) == ["lease/000001.json", "lease/000002.json"]
        held.check()
    assert output.files("lease/") == {}


def test_a_run_that_was_suspended_finds_itself_replaced(output: Folder) -> None:
    suspended, clock = ManualClock(), ManualClock()
    with hold_by(suspended, output) as first, hold_by(clock, output) as second:
        first.check()
        suspended.sleep(BEAT_SECONDS)
        with pytest.raises(Held, match=rf"made no sign of life for a while, and process {os.getpid()} on .* has taken"):
            first.check()
        clock.sleep(BEAT_SECONDS)
        second.check()
        first.release()
        assert "lease/000002.json" in output.files("lease/")


def test_a_run_that_was_suspended_during_the_whole_of_another_finds_that_out(output: Folder) -> None:
    with hold_by(ManualClock(), output) as suspended:
        with hold(output, clock=ManualClock()):
            pass
        suspended.check()
        with pytest.raises(Held, match="another run, which has ended, has taken its place"):
            suspended.confirm()
        with hold(output):  # a third run
            pass


def test_of_many_runs_at_once_one_holds(output: Folder) -> None:
    start, kept_out, all_kept_out = threading.Barrier(8), [], threading.Event()

    def run(_: int) -> str:
        start.wait()
        try:
            with hold(output, beat=0.05):
                all_kept_out.wait(60)
                return "held"
        except Held:
            kept_out.append(1)
            if len(kept_out) == 7:
                all_kept_out.set()
            return "kept out"

    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(run, range(8)))
    assert sorted(results) == ["held"] + ["kept out"] * 7


def test_a_store_that_fails_for_a_while_ends_no_run(output: Breakable, capfd: pytest.CaptureFixture) -> None:
    def fail(*unused: Any) -> None:
        raise OSError("503 Slow Down")

    clock = ManualClock()
    with hold_by(clock, output) as held:
        output.broken["put"] = fail
        clock.sleep(5 * BEAT_SECONDS)
        output.broken.clear()
        clock.sleep(BEAT_SECONDS)
        held.check()
        assert json.loads(output.read("lease/000001.json"))["beat"] > 0
    assert capfd.readouterr().err.count("no sign of life could be put: 503 Slow Down") == 1


def test_a_put_that_is_repeated_finds_itself(output: Folder) -> None:
    class AnswersLost(Folder):
        def put_new(self, name: str, data: bytes) -> bool:
            return super().put_new(name, data) and super().put_new(name, data)

    with hold(AnswersLost(output.url)) as held:
        held.confirm()


def test_a_store_that_never_answers_does_not_delay_the_end_of_a_run(
    output: Breakable, capfd: pytest.CaptureFixture
) -> None:
    answers = threading.Event()
    with hold(output, release=0.2):
        output.broken["names"] = lambda *unused: answers.wait(60) and []
        ended = time.monotonic()
    assert time.monotonic() - ended < 20
    assert "lease/000001.json: could not be deleted within 0 s" in capfd.readouterr().err
    answers.set()


def test_a_lease_that_cannot_be_deleted_does_not_fail_the_run(output: Breakable, capfd: pytest.CaptureFixture) -> None:
    def fail(*unused: Any) -> None:
        raise PermissionError("no")

    with hold(output):
        output.broken["delete"] = fail
    assert "lease/000001.json: could not be deleted: no" in capfd.readouterr().err


def test_a_lease_that_no_listing_shows_holds_all_the_same(s3_server: str, tmp_path: Path) -> None:
    output, clock = Folder(f"s3://bucket/{tmp_path.name}"), ManualClock()
    with in_front_of(s3_server) as store:
        store.pick, store.lag_seconds = always(LAG), 1000
        with hold_by(clock, output) as held:
            with pytest.raises(Held, match="another run holds it"), hold(output, clock=clock):
                pass
            held.confirm()
        store.pick = calm
        assert output.files() == {}
