"""The figures of a unit that are counted, by metrics that note their calls."""

import itertools
import time
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import pytest

from actors.engines.load import Load, Scheduling
from pipeline.score import metrics
from pipeline.score.metrics import count_unit, watch

FIGURES = {
    "rows": 14,
    "deleted": 4,
    "failed": 3,
    "rejected": 1,
    "known": 2,
    "prompt_tokens": 500,
    "cached_tokens": 0,
    "new_tokens": 6,
    "seconds": 2,
}


RUNS = ("r", "watched", "scheduled")  # that of a watch, which never ends, belongs to one test


class NotedMetric:
    """In the place of a metric of Ray's. It refuses the calls that Ray's refuses, and notes those of RUNS alone: an
    engine of another test may still be watched in this process."""

    def __init__(self, name: str, labels: tuple[str, ...], sums: dict[tuple, float]):
        self._name, self._labels, self._sums = name, labels, sums

    def _key(self, labels: dict[str, str]) -> tuple:
        assert set(labels) == set(self._labels)
        return (self._name, *labels.values())

    def inc(self, amount: float, labels: dict[str, str]) -> None:
        assert amount > 0
        if labels["run"] in RUNS:
            self._sums[self._key(labels)] += amount

    def set(self, amount: float, labels: dict[str, str]) -> None:
        if labels["run"] in RUNS:
            self._sums[self._key(labels)] = amount

    observe = inc


@pytest.fixture
def sums(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[tuple, float]]:
    """(metric, label values) -> its sum, or the last value of a gauge."""
    noted: dict[tuple, float] = defaultdict(float)

    def make(name: str, _: str, *more: Any) -> NotedMetric:
        return NotedMetric(name, more[-1], noted)

    for kind in ("Counter", "Gauge", "Histogram"):
        monkeypatch.setattr(metrics.metrics, kind, make)
    for cached in (metrics._metric, metrics._named_reasons):
        cached.cache_clear()
    yield noted
    for cached in (metrics._metric, metrics._named_reasons):
        cached.cache_clear()


def test_the_figures_of_units_are_summed(sums: dict) -> None:
    for _ in range(2):
        count_unit("r", FIGURES, {"document is empty": 3, "query_id is null": 1}, truncated=2)
    assert sums == {
        ("rayrank_pairs", "r"): 8,
        ("rayrank_truncated", "r"): 4,
        ("rayrank_prompt_tokens", "r"): 1000,
        ("rayrank_new_tokens", "r"): 12,
        ("rayrank_units", "r"): 2,
        ("rayrank_failures", "r", "document is empty"): 6,
        ("rayrank_failures", "r", "query_id is null"): 2,
        ("rayrank_unit_seconds", "r"): 4,
    }


def test_a_unit_that_was_put_before_is_not_counted(sums: dict) -> None:
    count_unit("r", FIGURES | {"rows": 0}, {}, 0)
    assert sums == {}


def test_a_process_names_a_limited_number_of_reasons(sums: dict, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "REASONS", 2)
    for reason in "abcab":
        count_unit("r", FIGURES | {"failed": 1, "rejected": 0}, {reason: 1}, 0)
    kinds = {key[2]: value for key, value in sums.items() if key[0] == "rayrank_failures"}
    assert kinds == {"a": 2, "b": 2, "other": 1}


def test_the_load_of_an_engine_is_reported_again_and_again(sums: dict, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "WATCH_SECONDS", 0.01)
    seconds = itertools.chain([0.0, 1.5, 4.0], itertools.repeat(4.0))
    watch("watched", lambda: Load(7, next(seconds)))
    deadline = time.monotonic() + 10
    while sums["rayrank_engine_busy_seconds", "watched"] < 4 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert sums["rayrank_engine_busy_seconds", "watched"] == 4
    assert sums["rayrank_engine_queue", "watched"] == 7
    assert len([key for key in sums if "watched" in key]) == 2, (
        "of an engine that keeps no figures of its scheduling none are reported"
    )


def test_what_an_engine_does_with_its_sequences_is_reported(sums: dict, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "WATCH_SECONDS", 0.01)
    last = Load(9, 2.0, Scheduling(running=4, waiting=3, cache_share=0.75, preemptions=5))
    loads = itertools.chain([Load(1, 1.0, Scheduling(1, 0, 0.5, 2))], itertools.repeat(last))
    watch("scheduled", lambda: next(loads))
    deadline = time.monotonic() + 10
    while sums["rayrank_engine_preemptions", "scheduled"] < 5 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert {key: value for key, value in sums.items() if "scheduled" in key} == {
        ("rayrank_engine_busy_seconds", "scheduled"): 2,
        ("rayrank_engine_queue", "scheduled"): 9,
        ("rayrank_engine_running", "scheduled"): 4,
        ("rayrank_engine_waiting", "scheduled"): 3,
        ("rayrank_engine_cache_share", "scheduled"): 0.75,
        ("rayrank_engine_preemptions", "scheduled"): 5,
    }
