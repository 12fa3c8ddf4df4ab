"""Ends a process that is stuck, since nothing inside it can mend that. Whoever started it starts it again."""

import math
import os
import sys
import threading
import time
from contextlib import suppress
from typing import NoReturn

import psutil

EXIT = 70


class Watchdog:
    """At rest until told to expect something."""

    def __init__(self) -> None:
        self._deadline, self._seconds = math.inf, math.inf
        threading.Thread(target=self._watch, daemon=True, name="watchdog").start()

    def expect(self, seconds: float) -> None:
        """From now on the process ends, unless this or `rest` is called within so many seconds."""
        self._seconds = seconds
        self._deadline = time.monotonic() + seconds

    def rest(self) -> None:
        """Nothing is expected until further notice."""
        self._deadline = math.inf

    def _watch(self) -> None:
        while True:
            time.sleep(min(self._seconds / 4, 1))
            if time.monotonic() > self._deadline:
                leave(f"the engine made no progress for {self._seconds:.0f} s")


def leave(reason: str) -> NoReturn:
    """Ends the process at once, and those it has started (vLLM's, one for each GPU), with one line to its log."""
    print(f"rayrank: {reason}; ending its process", file=sys.stderr, flush=True)
    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            child.kill()
    os._exit(EXIT)
