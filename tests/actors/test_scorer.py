"""The actor around an engine that gives what the tests tell it to."""

import asyncio
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest

from actors import scorer
from actors.contract import Prompt, Reply, Unscored
from actors.engine import Ask
from actors.rerankers.lb import LB
from actors.scorer import Scorer


class Unit(NamedTuple):
    prompts: list[Prompt]


class FakeEngine:
    """Answers a sequence of one token with the grade that the token says; 0 is refused."""

    def __init__(self, *unused: Any):
        self.seen: list[list[int]] = []

    def ask(self, asks: list[Ask], deliver: Any) -> None:
        self.seen += [ask.tokens for ask in asks]
        deliver([(ask.number, self.reply(ask.tokens)) for ask in reversed(asks)])

    def reply(self, tokens: list[int]) -> Reply | Unscored:
        if tokens[0] == 0:
            return Unscored("vLLM refused the prompt: it is longer than 512")
        p = np.full(7, 1e-30)
        p[tokens[0] - 1] = 1
        return Reply(prompt=tokens, cached_tokens=4, tokens=(9,), label_logprobs=np.log(p))


@pytest.fixture
def make_scorer(monkeypatch: pytest.MonkeyPatch, tiny_qwen2: str) -> Callable[[], Scorer]:
    monkeypatch.setattr(scorer, "Engine", FakeEngine)

    def make() -> Scorer:
        settings = LB(type="lb", model=tiny_qwen2)
        return Scorer(settings, {}, 1800, None, unpack=lambda batch: batch, put=lambda *given: given)

    return make


def unit(*tokens: int) -> Unit:
    arrays: list[Any] = [np.array([token], dtype=np.int32) for token in tokens]
    return Unit([Prompt([array]) for array in arrays])


def test_each_pair_gets_the_score_of_its_own_sequence(make_scorer: Callable[[], Scorer]) -> None:
    actor: Any = make_scorer()
    given = unit(7, 2, 7, 5)
    put_unit, scores, texts, _ = asyncio.run(actor(given))
    assert put_unit is given
    assert scores == pytest.approx([7, 2, 7, 5])
    assert texts == [None] * 4
    assert actor._engine.seen == [[7], [2], [5]]


def test_figures_count_what_the_engine_was_given(make_scorer: Callable[[], Scorer]) -> None:
    _, _, _, figures = asyncio.run(make_scorer()(unit(7, 2, 7, 0)))  # three sequences, one of them refused
    assert figures.pop("seconds") >= 0
    assert figures == {"prompt_tokens": 2, "cached_tokens": 8, "new_tokens": 2}


def test_a_refused_sequence_leaves_its_pairs_unscored_and_the_others_scored(
    make_scorer: Callable[[], Scorer],
) -> None:
    _, scores, _, _ = asyncio.run(make_scorer()(unit(3, 0, 4)))
    assert scores == [pytest.approx(3), Unscored("vLLM refused the prompt: it is longer than 512"), pytest.approx(4)]


def test_a_unit_without_prompts_is_put_too(make_scorer: Callable[[], Scorer]) -> None:
    _, scores, _, _ = asyncio.run(make_scorer()(unit()))
    assert scores == []


def test_threads_are_set_before_the_engine_is_made(
    make_scorer: Callable[[], Scorer], monkeypatch: pytest.MonkeyPatch, tiny_qwen2: str
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    seen: list[str | None] = []
    monkeypatch.setattr(scorer, "Engine", lambda *given: seen.append(scorer.os.environ.get("OMP_NUM_THREADS")))
    Scorer(LB(type="lb", model=tiny_qwen2), {}, 1800, 3, unpack=None, put=None)  # type: ignore[arg-type]
    assert seen == ["3"]
