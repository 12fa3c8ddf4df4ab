"""The actor around an engine that gives what the tests tell it to."""

import asyncio
import math
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, NamedTuple

import numpy as np
import pytest

from actors import scorer
from actors.rerankers.contract import Reply, Unscored
from actors.rerankers.lb import LB
from actors.scorer import Scorer, distinct


class Unit(NamedTuple):
    prompts: list[list[np.ndarray]]


class FakeEngine:
    """Answers a sequence of one token with the grade that the token says; 0 is refused, and -1 has no number."""

    def __init__(self, *unused: Any):
        self.seen: list[list[int]] = []

    def run(self, sequences: list[list[int]]) -> "Future[list[Reply | Unscored]]":
        self.seen += sequences
        future: Future[list[Reply | Unscored]] = Future()
        future.set_result([self.reply(tokens[0]) for tokens in sequences])
        return future

    def reply(self, token: int) -> Reply | Unscored:
        if token == 0:
            return Unscored("vLLM refused the prompt: it is longer than 512")
        p = np.full(7, 1e-30)
        p[max(token, 1) - 1] = 1
        logprobs = np.full(7, math.nan) if token == -1 else np.log(p)
        return Reply(prompt_tokens=10, cached_tokens=4, new_tokens=1, label_logprobs=logprobs)


@pytest.fixture
def make_scorer(monkeypatch: pytest.MonkeyPatch) -> Callable[[], Scorer]:
    monkeypatch.setattr(scorer, "Engine", FakeEngine)

    def make() -> Scorer:
        settings = LB(type="lb", model="m")
        return Scorer(settings, {}, [], 1800, None, unpack=lambda batch: batch, put=lambda *given: given)

    return make


def unit(*tokens: int) -> Unit:
    return Unit([[np.array([token], dtype=np.int32)] for token in tokens])


def test_equal_sequences_are_given_to_the_engine_once() -> None:
    a, b, ab = (np.array(ids, dtype=np.int32) for ids in ([1], [2], [1, 2]))
    assert distinct([[a, b], [a], [ab], [b, b]]) == ([[1], [2], [1, 2]], [[0, 1], [0], [2], [1, 1]])
    assert distinct([]) == ([], [])


def test_each_pair_gets_the_score_of_its_own_sequence(make_scorer: Callable[[], Scorer]) -> None:
    actor: Any = make_scorer()
    given = unit(7, 2, 7, 5)
    put_unit, scores, _ = asyncio.run(actor(given))
    assert put_unit is given
    assert scores == pytest.approx([7, 2, 7, 5])
    assert actor._engine.seen == [[7], [2], [5]]


def test_figures_count_what_the_engine_was_given(make_scorer: Callable[[], Scorer]) -> None:
    _, _, figures = asyncio.run(make_scorer()(unit(7, 2, 7, 0)))  # three sequences, one of them refused
    assert figures.pop("seconds") >= 0
    assert figures == {"prompt_tokens": 20, "cached_tokens": 8, "new_tokens": 2}


def test_a_refused_sequence_leaves_its_pairs_unscored_and_the_others_scored(
    make_scorer: Callable[[], Scorer],
) -> None:
    _, scores, _ = asyncio.run(make_scorer()(unit(3, 0, 4)))
    assert scores == [pytest.approx(3), Unscored("vLLM refused the prompt: it is longer than 512"), pytest.approx(4)]


def test_a_pair_is_unscored_where_one_of_its_sequences_is(make_scorer: Callable[[], Scorer]) -> None:
    _, scores, _ = asyncio.run(make_scorer()(Unit([[np.array([3]), np.array([0])]])))
    assert scores == [Unscored("vLLM refused the prompt: it is longer than 512")]


def test_a_score_that_is_no_number_is_unscored(make_scorer: Callable[[], Scorer]) -> None:
    _, scores, _ = asyncio.run(make_scorer()(unit(3, -1)))
    assert scores == [pytest.approx(3), Unscored("the model's score is nan")]


def test_a_unit_without_prompts_is_put_too(make_scorer: Callable[[], Scorer]) -> None:
    _, scores, _ = asyncio.run(make_scorer()(unit()))
    assert scores == []


def test_threads_are_set_before_the_engine_is_made(
    make_scorer: Callable[[], Scorer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    seen: list[str | None] = []
    monkeypatch.setattr(scorer, "Engine", lambda *given: seen.append(scorer.os.environ.get("OMP_NUM_THREADS")))
    Scorer(LB(type="lb", model="m"), {}, [], 1800, 3, unpack=None, put=None)  # type: ignore[arg-type]
    assert seen == ["3"]
