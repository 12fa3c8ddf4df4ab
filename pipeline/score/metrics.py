"""The Prometheus metrics of a run. The processes with the engines count them, and Ray's agent on each node serves them.

They are counted once for each unit, or once a second, and never for a single pair. Ray puts `ray_` before each name,
and `_total` after those of COUNTERS.
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
    "rayrank_engine_preemptions": "Running sequences that lost their room in the key-value cache to others",
}
GAUGES = {
    "rayrank_engine_queue": "Sequences that the engine was asked for and has not answered",
    "rayrank_engine_running": "Of these, sequences that the engine computes",
    "rayrank_engine_waiting": "Of these, sequences that wait in the engine for room",
    "rayrank_engine_cache_share": "Share of the key-value cache that is in use",
}
HISTOGRAMS = {"rayrank_unit_seconds": "Seconds from a unit's coming to the worker until it was scored"}
BOUNDARIES = [1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0, 3000.0]
LABELS = {"rayrank_failures": ("run", "reason")}  # all others have the run alone
REASONS = 20  # different kinds that a process counts by name; it counts the rest as `other`
WATCH_SECONDS = 1.0


def count_unit(run: str, figures: dict[str, Any], reasons: dict[str, int], truncated: int) -> None:
    """Counts a unit that was put.

    figures: its UnitStats. reasons: kind of reason -> rows without a score. truncated: rows whose prompt was cut.
    """
    if not figures["rows"]:  # its scores were there
        return
    amounts = {
        "rayrank_pairs": figures["rows"] - sum(figures[name] for name in ("failed", "rejected", "known", "deleted")),
        "rayrank_truncated": truncated,
        **{f"rayrank_{name}": figures[name] for name in ("prompt_tokens", "cached_tokens", "new_tokens")},
        "rayrank_units": 1,
    }
    for name, amount in amounts.items():
        _count(name, amount, run=run)
    for kind, rows in reasons.items():
        _count("rayrank_failures", rows, run=run, reason=_choose_label(kind))
    _metric("rayrank_unit_seconds").observe(float(figures["seconds"]), {"run": run})


def watch(run: str, load: Callable[[], Load]) -> None:
    """Starts a thread that reports how busy this process's engine is, until the process ends."""
    threading.Thread(target=_watch, args=(run, load), daemon=True, name="watch").start()


def _watch(run: str, load: Callable[[], Load]) -> None:
    before = Load(0, 0.0)
    while True:
        now = load()
        _report(run, before, now)
        before = now
        time.sleep(WATCH_SECONDS)


def _report(run: str, before: Load, now: Load) -> None:
    gauges: dict[str, float] = {"queue": now.queued}
    counts: dict[str, float] = {"busy_seconds": now.busy - before.busy}
    if now.scheduling:
        gauges |= {name: getattr(now.scheduling, name) for name in ("running", "waiting", "cache_share")}
        preempted = before.scheduling.preemptions if before.scheduling else 0
        counts["preemptions"] = now.scheduling.preemptions - preempted
    for name, value in gauges.items():
        _metric(f"rayrank_engine_{name}").set(value, {"run": run})
    for name, amount in counts.items():
        _count(f"rayrank_engine_{name}", amount, run=run)


@cache
def _named_reasons() -> set[str]:
    """The kinds of reasons that this process counts by name."""
    return set()


def _choose_label(kind: str) -> str:
    """The kind itself, or `other` where the process counts too many kinds already."""
    if kind not in _named_reasons() and len(_named_reasons()) >= REASONS:
        return "other"
    _named_reasons().add(kind)
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
