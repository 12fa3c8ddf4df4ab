"""Progress on stderr: a bar on a terminal, a line every few seconds in a log."""

import sys
import time
from typing import TextIO


class Progress:
    """Pairs done of all, pairs/s, tokens/s, failures, and the time left at the rate so far."""

    def __init__(self, total: int, done: int = 0, stream: TextIO | None = None, every: float | None = None):
        self._stream = stream or sys.stderr
        self._terminal = self._stream.isatty()
        self._every = every if every is not None else (0.2 if self._terminal else 5.0)
        self._total, self._before, self._done = total, done, done
        self._tokens = self._failed = 0
        self._started = self._shown = time.monotonic()

    def add(self, pairs: int, tokens: int, failed: int) -> None:
        if not self._done - self._before:  # the rate is that of scoring: loading the model does not count
            self._started = min(self._started, time.monotonic())
        self._done += pairs
        self._tokens += tokens
        self._failed += failed
        if time.monotonic() - self._shown >= self._every:
            self._show()

    def close(self) -> None:
        self._show()
        if self._terminal:
            self._stream.write("\n")

    def _show(self) -> None:
        self._shown = time.monotonic()
        seconds = max(self._shown - self._started, 1e-9)
        rate = (self._done - self._before) / seconds
        left = f"{_clock((self._total - self._done) / rate)} left" if rate else "waiting for the first unit"
        line = (
            f"{self._done:,} of {self._total:,} pairs ({self._done / max(1, self._total):.1%}) | {rate:,.0f} pairs/s | "
            f"{self._tokens / seconds:,.0f} tokens/s | {self._failed:,} without a score | {left}"
        )
        if self._terminal:
            width = 20
            filled = int(width * self._done / max(1, self._total))
            self._stream.write(f"\r\033[K[{'#' * filled}{'.' * (width - filled)}] {line}")
        else:
            self._stream.write(line + "\n")
        self._stream.flush()


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}"
