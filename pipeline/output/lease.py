"""One run at a time for an output, so that no second one burns the same GPU hours.

The highest of `lease/000001.json`, `lease/000002.json`, ... is the one that holds. A number is put where none is, so
one of two who want it gets it; its holder replaces it every BEAT seconds with a higher count. Whoever comes upon a
lease watches it. If its count rises its holder lives, and the newcomer ends (exit code 4). If it stands still for STALE
seconds, or was held by a process of this machine that is gone, the newcomer puts the next number; a holder that wakes
up and finds its own gone, or a higher one, ends. No clock is compared with another.

Nothing but hours hangs on it where the same config runs twice: any number of drivers come to one right result. Where
two configs fuse the same scores in different ways, a driver looks once more before it commits.
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

from pipeline.errors import RunError, one_line
from pipeline.say import say
from pipeline.storage.folder import Folder

BEAT, STALE = 10.0, 60.0
LET_GO = 20.0  # seconds; a store that has failed is asked for minutes, and the error waits for the lease to be let go
NAME = re.compile(r"lease/\d{6}\.json")


class Held(RunError):
    """Another run holds the output."""

    exit_code = 4


class Lease:
    """One that this process holds."""

    def __init__(self, output: Folder, number: int):
        self._output, self._number = output, number
        self._holder = _me()
        self._taken_by: dict[str, Any] | None = None
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True, name="lease")

    def check(self) -> None:
        """Raises Held if another run has taken the output over."""
        if self._taken_by is not None:
            raise Held(
                f"{self._output.url}: this run made no sign of life for a while, and {_named(self._taken_by)} has "
                "taken its place"
            )

    def confirm(self) -> None:
        """Looks whether the output is still this run's. Raises Held if it is not."""
        self._look()
        self.check()

    def take(self) -> bool:
        """Puts it, unless another has just done so. Says whether it did."""
        if not self._output.put_new(_name(self._number), _encoded(self._holder)):
            there = _read(self._output, _name(self._number))
            if there is None or there["token"] != self._holder["token"]:  # else a put that was repeated found itself
                return False
        self._thread.start()
        return True

    def release(self) -> None:
        """Gives the output free, unless it is another's by now. If it cannot, the next run waits a minute."""
        self._over.set()
        letting_go = threading.Thread(target=self._let_go, daemon=True, name="lease-end")
        letting_go.start()
        letting_go.join(LET_GO)
        if letting_go.is_alive():
            say(f"{self._output.path(_name(self._number))}: could not be deleted within {LET_GO:.0f} s")

    def _let_go(self) -> None:
        self._thread.join()
        try:
            found = self._look()
            if self._taken_by is None:
                self._output.delete(sorted({*found, _name(self._number)}))  # no listing may show it yet
        except Exception as error:
            say(f"{self._output.path(_name(self._number))}: could not be deleted: {one_line(error)}")

    def _look(self) -> list[str]:
        """Finds out whether another has taken the output: this lease is gone, or there is a higher one. Returns all."""
        found = _leases(self._output)
        last = max([*found, _name(self._number)])
        there = _read(self._output, last)
        if there is None or there["token"] != self._holder["token"]:
            self._taken_by = there or {}
        return found

    def _beat(self) -> None:
        failed = False
        while not self._over.wait(BEAT):
            try:
                self._look()
                if self._taken_by is not None:
                    return
                self._holder["beat"] += 1
                self._output.put(_name(self._number), _encoded(self._holder))
                failed = False
            except Exception as error:  # of the store's; the next beat may come through, and the run can do without
                if not failed:
                    say(f"{self._output.path(_name(self._number))}: no sign of life could be put: {one_line(error)}")
                failed = True


@contextmanager
def hold(output: Folder) -> Iterator[Lease]:
    """Holds the output for the time of a run. Raises Held, naming the run that does."""
    seen = ""
    while True:
        last = max([seen, *_leases(output)])
        if last:
            _wait_for_death(output, last)
        number = int(last[6:12]) + 1 if last else 1
        lease = Lease(output, number)
        if lease.take():
            break
        seen = _name(number)  # another was faster, and the listing may not show it yet
    try:
        yield lease
    finally:
        lease.release()


def holder(output: Folder) -> str | None:
    """Who holds the output in words; who did not let go may be dead. None where nobody does."""
    last = max(_leases(output), default="")
    found = _read(output, last) if last else None
    return None if found is None else _named(found) + (", which is dead" if _is_dead(found) else "")


def _wait_for_death(output: Folder, name: str) -> None:
    """Returns when the lease is gone, or its holder surely dead. Raises Held when it shows a sign of life."""
    first = _read(output, name)
    if first is None or _is_dead(first):
        return
    say(f"{output.url}: held by {_named(first)}; waiting up to {STALE:.0f} s for a sign of life of it")
    until = time.monotonic() + STALE
    while True:
        late = time.monotonic() > until  # before it is read: who was asleep reads once more
        now = _read(output, name)
        if now is None:
            return
        if (now["beat"], now["token"]) != (first["beat"], first["token"]):
            raise Held(f"output.path = {output.url!r}: another run holds it, {_named(now)}, and is alive")
        if late:
            return
        time.sleep(BEAT / 5)


def _leases(output: Folder) -> list[str]:
    return [name for name in output.files("lease/") if NAME.fullmatch(name)]


def _name(number: int) -> str:
    return f"lease/{number:06d}.json"


def _read(output: Folder, name: str) -> dict[str, Any] | None:
    try:
        return json.loads(output.read(name))
    except FileNotFoundError:
        return None


def _encoded(holder: dict[str, Any]) -> bytes:
    return json.dumps(holder, indent=1).encode()


def _me() -> dict[str, Any]:
    return {
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "since": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": _machine(),
        "started": _started(os.getpid()),
        "token": secrets.token_hex(8),
        "beat": 0,
    }


def _named(holder: dict[str, Any]) -> str:
    if not holder:
        return "another run, which has ended,"
    return f"process {holder['pid']} on {holder['host']} since {holder['since']}"


def _is_dead(holder: dict[str, Any]) -> bool:
    """Whether it was a process of this machine that is gone; False where nobody can tell."""
    machine = _machine()
    return machine is not None and holder["machine"] == machine and _started(holder["pid"]) != holder["started"]


def _machine() -> str | None:
    """What two processes share that see each other's process ids: this boot of the machine, and the namespace."""
    try:
        with open("/proc/sys/kernel/random/boot_id") as file:
            return f"{file.read().strip()} {os.readlink('/proc/self/ns/pid')}"
    except OSError:  # not Linux
        return None


def _started(pid: int) -> str | None:
    """When a process began, in the kernel's ticks since the boot; None where there is none of that id."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[19]
    except OSError:
        return None
