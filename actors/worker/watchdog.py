"""Ends a process that is stuck, since nothing inside can repair it. The process that started it starts it again."""

import faulthandler
import math
import os
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import NoReturn

import psutil

EXIT, STDERR = 70, 2
LATER = 10.0  # seconds after the deadline; by then the thread below has ended the process, if it can run


class Watchdog:
    """Ends the process when expected progress does not happen in time. It expects nothing until `expect` is called.

    what: the subject of the line in the log. last_words: called with that line before the process ends; it may take
    LATER / 2 seconds.

    A thread checks the deadline. It cannot run while native code holds the interpreter, so each of its rounds also sets
    a timer that needs no interpreter (faulthandler's, of which a process has one) to LATER seconds after the deadline.
    That timer writes the stack of each thread and ends the process with exit code 1.
    """

    def __init__(self, what: str = "the engine", last_words: Callable[[str], object] | None = None) -> None:
        self._what, self._last_words = what, last_words
        self._deadline, self._seconds = math.inf, math.inf
        self._timed, self._timing = False, threading.Lock()
        self._closed = threading.Event()
        threading.Thread(target=self._watch, daemon=True, name="watchdog").start()

    def expect(self, seconds: float) -> None:
        """The process ends unless this or `rest` is called within `seconds` from now."""
        self._seconds = seconds
        self._deadline = time.monotonic() + seconds
        if not self._timed:  # else the thread sets it in its next round
            self._set_timer()

    def rest(self) -> None:
        """Nothing is expected until the next call of `expect`."""
        self._deadline = math.inf

    def close(self) -> None:
        """Ends the thread. Nothing is expected any more."""
        self.rest()
        self._set_timer()
        self._closed.set()

    def _watch(self) -> None:
        while not self._closed.wait(min(self._seconds / 4, 1)):
            if time.monotonic() > self._deadline:
                self._leave(f"{self._what} made no progress for {self._seconds:.0f} s")
            self._set_timer()

    def _leave(self, reason: str) -> None:
        if self._last_words:
            report = threading.Thread(target=self._last_words, args=(reason,), daemon=True)
            with suppress(RuntimeError):  # no thread can be started
                report.start()
                report.join(LATER / 2)
        leave(reason)

    def _set_timer(self) -> None:
        with self._timing:
            left = self._deadline - time.monotonic()
            if left < math.inf:
                with suppress(RuntimeError):  # no thread can be started for it; the watchdog's own still checks
                    faulthandler.dump_traceback_later(max(left, 0) + LATER, file=STDERR, exit=True)
            elif self._timed:
                faulthandler.cancel_dump_traceback_later()
            self._timed = left < math.inf


def leave(reason: str) -> NoReturn:
    """Ends the process at once, with those it has started (vLLM's, one for each GPU). Writes one line to its log."""
    try:
        with suppress(OSError, ValueError):  # the log's disk may be full
            print(f"rayrank: {reason}; ending its process", file=sys.stderr, flush=True)
        for child in psutil.Process().children(recursive=True):
            with suppress(psutil.Error):
                child.kill()
    finally:
        os._exit(EXIT)
