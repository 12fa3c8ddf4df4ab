"""Progress on stderr: a bar on a terminal, a line every few seconds in a log."""

import sys
import threading
import time
from typing import Any, TextIO

BAR = 20


class Progress:
    """Shows itself while its `with` block runs: pairs done of all, pairs/s, tokens/s, failures, time left.

    The rates are those of this run, with pairs that are known by their texts. Pairs of earlier runs, and the time to
    load the model, do not count.
    total: pairs of the input. done: pairs scored by earlier runs. every: seconds from one line to the next. about:
    whether the total is an estimate, until `of` sets it.
    """

    def __init__(
        self,
        total: int,
        done: int = 0,
        stream: TextIO | None = None,
        every: float | None = None,
        about: bool = False,
    ):
        self._stream = stream or sys.stderr
        self._terminal = self._stream.isatty()
        self._every = every or (1.0 if self._terminal else 5.0)
        self._total, self._done, self._scored = total, done, 0
        self._of = "of about" if about else "of"
        self._tokens = self._failed = 0
        self._entered = time.monotonic()
        self._scoring_since: float | None = None
        self._over = threading.Event()
        self._ticker = threading.Thread(target=self._tick, daemon=True, name="progress")

    def __enter__(self) -> "Progress":
        self._ticker.start()
        return self

    def __exit__(self, *error: Any) -> None:
        self._over.set()
        self._ticker.join()
        self._stream.write(("\r\033[K" if self._terminal else "") + self.line() + "\n")
        self._stream.flush()

    def add(self, pairs: int, tokens: int, failed: int, seconds: float, again: bool = False) -> None:
        """Counts a unit that is done. seconds: since it was given to the engine. again: its pairs are done already."""
        if self._scoring_since is None and pairs:
            self._scoring_since = max(self._entered, time.monotonic() - seconds)
        self._done += 0 if again else pairs
        self._scored += pairs
        self._tokens += tokens
        self._failed += failed

    def of(self, total: int) -> None:
        """Sets the total, which was an estimate before."""
        self._total, self._of = total, "of"

    @property
    def done(self) -> int:
        """Pairs of the input that were scored, by this run or an earlier one."""
        return self._done

    @property
    def waited(self) -> float:
        """Seconds until the first pair of this run went into an engine: actors start in them and load the model."""
        return (self._scoring_since or time.monotonic()) - self._entered

    def line(self) -> str:
        """The progress so far, as one line."""
        now = time.monotonic()
        line = f"{self._done:,} {self._of} {self._total:,} pairs ({self._done / max(1, self._total):.1%})"
        if self._scoring_since is None:
            gone = format_clock(now - self._entered)
            return f"{line} | {gone} gone: engines get a place (see ray status), start, and score the first unit"
        seconds = max(now - self._scoring_since, 1e-3)
        rate = self._scored / seconds
        return (
            f"{line} | {rate:,.0f} pairs/s | {self._tokens / seconds:,.0f} tokens/s | "
            f"{self._failed:,} without a score | {format_clock(max(0, self._total - self._done) / rate)} left"
        )

    def _tick(self) -> None:
        while not self._over.wait(self._every):
            if self._terminal:
                filled = min(BAR, int(BAR * self._done / max(1, self._total)))
                self._stream.write(f"\r\033[K[{'#' * filled}{'.' * (BAR - filled)}] {self.line()}")
            else:
                self._stream.write(self.line() + "\n")
            self._stream.flush()


def format_clock(seconds: float) -> str:
    """Hours, minutes and whole seconds."""
    minutes, seconds = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}"
