"""What is counted of a unit, by metrics that write down what they are told."""

import itertools
import time
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import pytest

from actors.engines.load import Load
from pipeline.score import metrics
from pipeline.score.metrics import count_unit, watch

LINE = {"rows": 10, "failed": 3, "rejected": 1, "prompt_tokens": 500, "cached_tokens": 0, "new_tokens": 6, "seconds": 2}


class Written:
    """A metric of Ray's. It refuses what theirs does."""

    def __init__(self, name: str, labels: tuple[str, ...], sums: dict[tuple, float]):
        self._name, self._labels, self._sums = name, labels, sums

    def _key(self, labels: dict[str, str]) -> tuple:
        assert set(labels) == set(self._labels)
        return (self._name, *labels.values())

    def inc(self, amount: float, labels: dict[str, str]) -> None:
        assert amount > 0
        self._sums[self._key(labels)] += amount

    def set(self, amount: float, labels: dict[str, str]) -> None:
        self._sums[self._key(labels)] = amount

    observe = inc


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[tuple, float]]:
    """(metric, label values) -> what it was told, in sum."""
    sums: dict[tuple, float] = defaultdict(float)

    def made(name: str, _: str, *more: Any) -> Written:
        return Written(name, more[-1], sums)

    for kind in ("Counter", "Gauge", "Histogram"):
        monkeypatch.setattr(metrics.metrics, kind, made)
    for cached in (metrics._metric, metrics._seen):
        cached.cache_clear()
    yield sums
    for cached in (metrics._metric, metrics._seen):
        cached.cache_clear()


def test_a_unit_s_figures(told: dict) -> None:
    for _ in range(2):
        count_unit("r", LINE, {"document is empty": 3, "query_id is null": 1}, truncated=2)
    assert told == {
        ("rayrank_pairs", "r"): 12,
        ("rayrank_truncated", "r"): 4,
        ("rayrank_prompt_tokens", "r"): 1000,
        ("rayrank_new_tokens", "r"): 12,
        ("rayrank_units", "r"): 2,
        ("rayrank_failures", "r", "document is empty"): 6,
        ("rayrank_failures", "r", "query_id is null"): 2,
        ("rayrank_unit_seconds", "r"): 4,
    }


def test_a_unit_that_was_there_already_is_not_counted(told: dict) -> None:
    count_unit("r", LINE | {"rows": 0}, {}, 0)
    assert told == {}


def test_a_process_names_so_many_reasons_and_no_more(told: dict, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "REASONS", 2)
    for reason in "abcab":
        count_unit("r", LINE | {"failed": 1, "rejected": 0}, {reason: 1}, 0)
    kinds = {key[2]: value for key, value in told.items() if key[0] == "rayrank_failures"}
    assert kinds == {"a": 2, "b": 2, "other": 1}


def test_an_engine_is_watched_while_it_lives(told: dict, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "WATCH_SECONDS", 0.01)
    seconds = itertools.chain([0.0, 1.5, 4.0], itertools.repeat(4.0))
    watch("r", lambda: Load(7, next(seconds)))
    deadline = time.monotonic() + 10
    while told["rayrank_engine_busy_seconds", "r"] < 4 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert told["rayrank_engine_busy_seconds", "r"] == 4
    assert told["rayrank_engine_queue", "r"] == 7
