"""One run at a time for an output, so that no second run spends the same GPU hours.

The highest of `lease/000001.json`, `lease/000002.json`, ... holds the output. A lease is put only where no file of its
number is, so one of two runs that want it gets it; its holder replaces it every BEAT_SECONDS with a higher count. A run
that finds a lease watches it. If the count rises, the holder is alive, and the new run ends (exit code 4). If it stays
the same for STALE_SECONDS, or its holder was a process of this machine that is gone, the new run puts the next number.
A holder that was suspended and finds its lease gone, or a higher one, ends. No two clocks are compared.

The result does not depend on the lease where the same config runs twice: any number of drivers make one right result.
Where two configs fuse the same scores in different ways, a driver checks its lease once more before it commits.
"""

import json
import os
import re
import secrets
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from pipeline.errors import RunError, one_line, say
from pipeline.storage.folder import Folder

BEAT_SECONDS, STALE_SECONDS = 10.0, 60.0
RELEASE_SECONDS = 20.0  # a failing store is retried for minutes, and a run's error waits until its lease is released
LEASE_NAME = re.compile(r"lease/\d{6}\.json")
UNKNOWN = {"host": "?", "pid": "?", "since": "?", "machine": None, "started": None, "token": "", "beat": 0}


class Held(RunError):
    """Another run holds the output."""

    exit_code = 4


class Clock:
    """How a lease measures time and lets it pass."""

    def monotonic(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)

    def wait(self, event: threading.Event, seconds: float) -> bool:
        """Waits for an event, but not longer. Returns whether it is set."""
        return event.wait(seconds)


CLOCK = Clock()


class Lease:
    """A lease of this process. beat: seconds from one sign of life to the next. release: seconds to delete it."""

    def __init__(
        self,
        output: Folder,
        number: int,
        beat: float = BEAT_SECONDS,
        release: float = RELEASE_SECONDS,
        clock: Clock = CLOCK,
    ):
        self._output, self._name = output, _format_name(number)
        self._beat, self._release, self._clock = beat, release, clock
        self._holder = _describe_self()
        self._taken_by: dict[str, Any] | None = None
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._keep_beating, daemon=True, name="lease")

    def check(self) -> None:
        """Raises Held if another run has taken the output over."""
        if self._taken_by is not None:
            raise Held(
                f"{self._output.url}: this run made no sign of life for a while, and {_describe(self._taken_by)} has "
                "taken its place"
            )

    def confirm(self) -> None:
        """Reads the lease again. Raises Held if another run has taken the output over."""
        self._look()
        self.check()

    def note_progress(self, fingerprint: str, done: int, rows: int) -> None:
        """Has the lease say, from its next sign of life on, how many of the input's rows have scores."""
        self._holder["progress"] = {fingerprint: [done, rows]}

    def take(self) -> bool:
        """Puts the lease, unless another run has just put one of this number. Returns whether it did."""
        if not self._output.put_new(self._name, _encode(self._holder)):
            there = _read(self._output, self._name)
            if there is None or there["token"] != self._holder["token"]:  # else a repeated put found its own file
                return False
        self._thread.start()
        return True

    def release(self) -> None:
        """Deletes the lease, unless another run has taken the output. If it cannot, the next run waits a minute."""
        self._over.set()
        deletion = threading.Thread(target=self._delete, daemon=True, name="lease-end")
        deletion.start()
        deletion.join(self._release)
        if deletion.is_alive():
            say(f"{self._output.path(self._name)}: could not be deleted within {self._release:.0f} s")

    def _delete(self) -> None:
        self._thread.join()
        try:
            found = self._look()
            if self._taken_by is None:
                self._output.delete(sorted({*found, self._name}))  # a listing may not show this lease yet
        except Exception as error:
            say(f"{self._output.path(self._name)}: could not be deleted: {one_line(error)}")

    def _look(self) -> list[str]:
        """Notes whether another run has taken the output: this lease is gone, or there is a higher one. Returns all."""
        found = _list_leases(self._output)
        last = max([*found, self._name])
        there = _read(self._output, last)
        if there is None or there["token"] != self._holder["token"]:
            self._taken_by = there or {}
        return found

    def _keep_beating(self) -> None:
        failed = False
        while not self._clock.wait(self._over, self._beat):
            try:
                self._look()
                if self._taken_by is not None:
                    return
                self._holder["beat"] += 1
                self._output.put(self._name, _encode(self._holder))
                failed = False
            except Exception as error:  # the store's: the next beat may succeed, and the run can go on without one
                if not failed:
                    say(f"{self._output.path(self._name)}: no sign of life could be put: {one_line(error)}")
                failed = True


@contextmanager
def hold(
    output: Folder,
    beat: float = BEAT_SECONDS,
    stale: float = STALE_SECONDS,
    release: float = RELEASE_SECONDS,
    clock: Clock = CLOCK,
) -> Iterator[Lease]:
    """Holds the output until the block ends. Raises Held, naming the run that holds it already.

    beat: seconds from one sign of life to the next. stale: seconds without one after which a holder counts as dead.
    release: seconds that the end waits for the lease to be deleted.
    """
    seen = ""
    while True:
        last = max([seen, *_list_leases(output)])
        if last:
            _wait_for_death(output, last, beat, stale, clock)
        number = int(last[6:12]) + 1 if last else 1
        lease = Lease(output, number, beat, release, clock)
        if lease.take():
            break
        seen = _format_name(number)  # another run was faster, and the listing may not show it yet
    try:
        yield lease
    finally:
        lease.release()


def read_progress(output: Folder) -> dict[str, list[int]]:
    """Fingerprint -> rows that have scores, and all rows of the input, as the run that has a lease of the output said
    last; empty where it has not."""
    return (_read_last(output) or {}).get("progress", {})


def read_holder(output: Folder) -> str | None:
    """The run that has a lease of the output, in words; it may be dead. None without a lease."""
    found = _read_last(output)
    return None if found is None else _describe(found) + (", which is dead" if _is_dead(found) else "")


def _read_last(output: Folder) -> dict[str, Any] | None:
    last = max(_list_leases(output), default="")
    return _read(output, last) if last else None


def _wait_for_death(output: Folder, name: str, beat: float, stale: float, clock: Clock) -> None:
    """Returns when the lease is gone, or its holder surely dead. Raises Held when it shows a sign of life."""
    first = _read(output, name)
    if first is None or _is_dead(first):
        return
    say(f"{output.url}: held by {_describe(first)}; waiting up to {stale:.0f} s for a sign of life of it")
    until = clock.monotonic() + stale
    while True:
        late = clock.monotonic() > until  # before the read: a process that was suspended reads once more
        now = _read(output, name)
        if now is None:
            return
        if (now["beat"], now["token"]) != (first["beat"], first["token"]):
            raise Held(f"output.path = {output.url!r}: another run holds it, {_describe(now)}, and is alive")
        if late:
            return
        clock.sleep(beat / 5)


def _list_leases(output: Folder) -> list[str]:
    return [name for name in output.names("lease/") if LEASE_NAME.fullmatch(name)]


def _format_name(number: int) -> str:
    return f"lease/{number:06d}.json"


def _read(output: Folder, name: str) -> dict[str, Any] | None:
    """The holder that a lease names; None where it is gone. One that cannot be read is another's, of unknown name."""
    try:
        found = json.loads(output.read(name))
    except FileNotFoundError:
        return None
    except ValueError:
        found = None
    return UNKNOWN | (found if isinstance(found, dict) else {})


def _encode(holder: dict[str, Any]) -> bytes:
    return json.dumps(holder, indent=1).encode()


def _describe_self() -> dict[str, Any]:
    return {
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "since": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": _read_machine(),
        "started": _read_start(os.getpid()),
        "token": secrets.token_hex(8),
        "beat": 0,
    }


def _describe(holder: dict[str, Any]) -> str:
    if not holder:
        return "another run, which has ended,"
    return f"process {holder['pid']} on {holder['host']} since {holder['since']}"


def _is_dead(holder: dict[str, Any]) -> bool:
    """Whether the holder was a process of this machine that is gone; False where that cannot be known."""
    machine = _read_machine()
    return machine is not None and holder["machine"] == machine and _read_start(holder["pid"]) != holder["started"]


def _read_machine() -> str | None:
    """The boot of this machine and the process namespace, which two processes share if they see each other's ids."""
    try:
        with open("/proc/sys/kernel/random/boot_id") as file:
            return f"{file.read().strip()} {os.readlink('/proc/self/ns/pid')}"
    except OSError:  # not Linux
        return None


def _read_start(pid: int) -> str | None:
    """The start of a process, in the kernel's ticks since the boot; None where no process has that id."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[19]
    except OSError:
        return None
