"""What Prometheus is told of a run, by the processes that hold the engines; Ray's agent on each node gives it out.

All of it is counted once a unit, or once a second, and never for a pair. Ray puts `ray_` before each name, and
`_total` behind those of COUNTERS.
"""

import threading
import time
from collections.abc import Callable
from functools import cache
from typing import Any

from ray.util import metrics

from actors.engines.load import Load

COUNTERS = {
    "rayrank_pairs": "Pairs that got a score",
    "rayrank_failures": "Rows that got none, by reason",
    "rayrank_truncated": "Prompts that lost a part of their text",
    "rayrank_prompt_tokens": "Tokens of prompts that the engine took",
    "rayrank_cached_tokens": "Of these, tokens found in the prefix cache",
    "rayrank_new_tokens": "Tokens that the engine generated",
    "rayrank_units": "Units whose scores were put",
    "rayrank_engine_busy_seconds": "Seconds in which the engine was at work",
}
GAUGES = {"rayrank_engine_queue": "Sequences that the engine was asked for and has not answered"}
HISTOGRAMS = {"rayrank_unit_seconds": "Seconds from a unit's coming to the worker until it was scored"}
BOUNDARIES = [1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0, 3000.0]
LABELS = {"rayrank_failures": ("run", "reason")}  # of all others: the run alone
REASONS = 20  # kinds of them that a process names; the rest are `other`
WATCH_SECONDS = 1.0


def count_unit(run: str, line: dict[str, Any], kinds: dict[str, int], truncated: int) -> None:
    """Counts a unit that was put. line: its figures. kinds: of the reasons of its rows without a score."""
    if not line["rows"]:  # its scores were there
        return
    amounts = {
        "rayrank_pairs": line["rows"] - line["failed"] - line["rejected"],
        "rayrank_truncated": truncated,
        **{f"rayrank_{name}": line[name] for name in ("prompt_tokens", "cached_tokens", "new_tokens")},
        "rayrank_units": 1,
    }
    for name, amount in amounts.items():
        _count(name, amount, run=run)
    for kind, rows in kinds.items():
        _count("rayrank_failures", rows, run=run, reason=_named(kind))
    _metric("rayrank_unit_seconds").observe(float(line["seconds"]), {"run": run})


def watch(run: str, load: Callable[[], Load]) -> None:
    """Tells, from a thread of its own, how busy this process's engine is, until the process ends."""
    threading.Thread(target=_watch, args=(run, load), daemon=True, name="watch").start()


def _watch(run: str, load: Callable[[], Load]) -> None:
    before = 0.0
    while True:
        queued, busy = load()
        _metric("rayrank_engine_queue").set(queued, {"run": run})
        _count("rayrank_engine_busy_seconds", busy - before, run=run)
        before = busy
        time.sleep(WATCH_SECONDS)


@cache
def _seen() -> set[str]:
    """The kinds of reasons that this process has named."""
    return set()


def _named(kind: str) -> str:
    if kind not in _seen() and len(_seen()) >= REASONS:
        return "other"
    _seen().add(kind)
    return kind


def _count(name: str, amount: float, **labels: str) -> None:
    if amount > 0:  # Ray refuses 0
        _metric(name).inc(amount, labels)


@cache
def _metric(name: str) -> Any:
    labels = LABELS.get(name, ("run",))
    if name in HISTOGRAMS:
        return metrics.Histogram(name, HISTOGRAMS[name], BOUNDARIES, labels)
    if name in GAUGES:
        return metrics.Gauge(name, GAUGES[name], labels)
    return metrics.Counter(name, COUNTERS[name], labels)
