"""Ends a process that is stuck, since nothing inside it can mend that. Whoever started it starts it again."""

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
LATER = 10.0  # seconds after the deadline, by which the thread below would have ended the process if it could run


class Watchdog:
    """At rest until told to expect something.

    what: that it is about, in the line to the log. last_words: is given that line before the process ends, and has
    LATER seconds for it.

    Its thread can do nothing while somebody holds the interpreter and does not let go, as native code may. So a timer
    that needs no interpreter (faulthandler's, of which a process has one) is set anew by every round of the thread, and
    goes off after the last: it writes what each thread was doing and ends the process, with exit code 1.
    """

    def __init__(self, what: str = "the engine", last_words: Callable[[str], object] | None = None) -> None:
        self._what, self._last_words = what, last_words
        self._deadline, self._seconds = math.inf, math.inf
        self._timed, self._timing = False, threading.Lock()
        threading.Thread(target=self._watch, daemon=True, name="watchdog").start()

    def expect(self, seconds: float) -> None:
        """From now on the process ends, unless this or `rest` is called within so many seconds."""
        self._seconds = seconds
        self._deadline = time.monotonic() + seconds
        if not self._timed:  # else the thread does it, soon enough
            self._set_timer()

    def rest(self) -> None:
        """Nothing is expected until further notice."""
        self._deadline = math.inf

    def _watch(self) -> None:
        while True:
            time.sleep(min(self._seconds / 4, 1))
            if time.monotonic() > self._deadline:
                self._leave(f"{self._what} made no progress for {self._seconds:.0f} s")
            self._set_timer()

    def _leave(self, reason: str) -> None:
        if self._last_words:
            telling = threading.Thread(target=self._last_words, args=(reason,), daemon=True)
            with suppress(RuntimeError):  # no thread to be had
                telling.start()
                telling.join(LATER / 2)
        leave(reason)

    def _set_timer(self) -> None:
        with self._timing:
            left = self._deadline - time.monotonic()
            if left < math.inf:
                with suppress(RuntimeError):  # it is a thread, and none is to be had; the one above looks all the same
                    faulthandler.dump_traceback_later(max(left, 0) + LATER, file=STDERR, exit=True)
            elif self._timed:
                faulthandler.cancel_dump_traceback_later()
            self._timed = left < math.inf


def leave(reason: str) -> NoReturn:
    """Ends the process at once, and those it has started (vLLM's, one for each GPU), with one line to its log."""
    try:
        with suppress(OSError, ValueError):  # the log's disk may be full
            print(f"rayrank: {reason}; ending its process", file=sys.stderr, flush=True)
        for child in psutil.Process().children(recursive=True):
            with suppress(psutil.Error):
                child.kill()
    finally:
        os._exit(EXIT)
