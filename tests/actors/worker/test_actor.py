"""The actor around an engine that gives what the tests tell it to."""

import asyncio
import time
from collections.abc import Callable
from typing import Any, NamedTuple
from unittest.mock import MagicMock

import numpy as np
import pytest

from actors.engines.contract import EngineDied
from actors.engines.vllm.engine import EngineRequest
from actors.rerankers.contract import Prompt, Reply, Unscored
from actors.rerankers.lb import LB
from actors.worker import actor as scorer
from actors.worker.actor import Scorer
from actors.worker.failures import PUTS, STARTS, EngineError, FailureTracker, Worker


class Unit(NamedTuple):
    prompts: list[Prompt]
    name: str = "u"
    again: bool = False


class Left(BaseException):
    """Stands for the end of the process."""


class FakeEngine:
    """Answers a sequence of one token with the grade that the token says; 0 is refused."""

    def __init__(self, *unused: Any, **named: Any):
        self.seen: list[list[int]] = []

    def ask(self, asks: list[EngineRequest], deliver: Any) -> None:
        self.seen += [ask.tokens for ask in asks]
        deliver([(ask.number, self.reply(ask.tokens)) for ask in reversed(asks)])

    def reply(self, tokens: list[int]) -> Reply | Unscored:
        if tokens[0] == 0:
            return Unscored("vLLM refused the prompt: it is longer than 512")
        p = np.full(7, 1e-30)
        p[tokens[0] - 1] = 1
        return Reply(prompt=tokens, cached_tokens=4, tokens=(9,), label_logprobs=np.log(p))


@pytest.fixture
def make_scorer(monkeypatch: pytest.MonkeyPatch, tiny_qwen2: str) -> Callable[..., Scorer]:
    monkeypatch.setattr(scorer, "Engine", FakeEngine)

    def make(record: FailureTracker | None = None) -> Scorer:
        settings, attempts = LB(type="lb", model=tiny_qwen2), record or FailureTracker(1)
        return Scorer(settings, {}, 1800, None, lambda batch: batch, lambda *given: given, told(attempts))

    return make


@pytest.fixture
def leaving(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who would end the process raises Left; the watchdog beside it would mean it."""

    def leave(reason: str) -> None:
        raise Left(reason)

    monkeypatch.setattr(scorer, "leave", leave)
    monkeypatch.setattr(scorer, "Watchdog", MagicMock())


def told(attempts: FailureTracker) -> Callable[..., Any]:
    """Calls of the record, as of a worker that died before each unit it was given."""
    deaths = 0

    def record(method: Callable[..., Any], *what: Any) -> Any:
        nonlocal deaths
        deaths += method is FailureTracker.enter
        return method(attempts, Worker("a", str(deaths)), *what)

    return record


def unit(*tokens: int) -> Unit:
    arrays: list[Any] = [np.array([token], dtype=np.int32) for token in tokens]
    return Unit([Prompt([array]) for array in arrays])


def test_each_pair_gets_the_score_of_its_own_sequence(make_scorer: Callable[..., Scorer]) -> None:
    actor: Any = make_scorer()
    given = unit(7, 2, 7, 5)
    put_unit, scores, texts, _ = asyncio.run(actor(given))
    assert put_unit is given
    assert scores == pytest.approx([7, 2, 7, 5])
    assert texts == [None] * 4
    assert actor._engine.seen == [[7], [2], [5]]


def test_figures_count_what_the_engine_was_given(make_scorer: Callable[..., Scorer]) -> None:
    _, _, _, figures = asyncio.run(make_scorer()(unit(7, 2, 7, 0)))  # three sequences, one of them refused
    assert figures.pop("seconds") >= 0
    assert figures == {"prompt_tokens": 2, "cached_tokens": 8, "new_tokens": 2}


def test_a_refused_sequence_leaves_its_pairs_unscored_and_the_others_scored(
    make_scorer: Callable[..., Scorer],
) -> None:
    _, scores, _, _ = asyncio.run(make_scorer()(unit(3, 0, 4)))
    assert scores == [pytest.approx(3), Unscored("vLLM refused the prompt: it is longer than 512"), pytest.approx(4)]


def test_a_unit_without_prompts_is_put_too(make_scorer: Callable[..., Scorer]) -> None:
    _, scores, _, _ = asyncio.run(make_scorer()(unit()))
    assert scores == []


def test_threads_are_set_before_the_engine_is_made(
    make_scorer: Callable[..., Scorer], monkeypatch: pytest.MonkeyPatch, tiny_qwen2: str
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    seen: list[str | None] = []
    monkeypatch.setattr(scorer, "Engine", lambda *given, **named: seen.append(scorer.os.environ.get("OMP_NUM_THREADS")))
    settings = LB(type="lb", model=tiny_qwen2)
    Scorer(settings, {}, 1800, 3, unpack=None, put=None, record=told(FailureTracker(1)))  # type: ignore[arg-type]
    assert seen == ["3"]


def test_a_worker_whose_engine_died_ends_and_the_record_has_its_words(
    make_scorer: Callable[..., Scorer], monkeypatch: pytest.MonkeyPatch, leaving: None
) -> None:
    attempts = FailureTracker(1)
    actor: Any = make_scorer(attempts)
    monkeypatch.setattr(actor._engine, "ask", lambda asks, deliver: deliver(EngineDied("out of memory")))
    for _ in range(4):
        with pytest.raises(Left, match="the engine broke: out of memory"):
            asyncio.run(actor(unit(3)))
    _, scores, _, _ = asyncio.run(actor(unit(3)))
    assert scores == [Unscored("the worker that scored it alone died: out of memory", transient=True)]


def test_a_unit_that_kills_its_workers_is_scored_in_parts_but_for_the_row_that_does(
    make_scorer: Callable[..., Scorer], monkeypatch: pytest.MonkeyPatch, leaving: None
) -> None:
    actor: Any = make_scorer()
    ask = actor._engine.ask

    def deadly(asks: list[EngineRequest], deliver: Any) -> None:
        if any(sequence.tokens == [6] for sequence in asks):
            deliver(EngineDied("out of memory"))
        else:
            ask(asks, deliver)

    monkeypatch.setattr(actor._engine, "ask", deadly)
    given = unit(*[1 + i % 5 for i in range(20)], 6, *[1 + i % 5 for i in range(20)])
    for _ in range(10):
        try:
            _, scores, texts, figures = asyncio.run(actor(given))
            break
        except Left:
            continue
    assert scores[20] == Unscored("the worker that scored it alone died: out of memory", transient=True)
    assert scores[:20] + scores[21:] == pytest.approx([1 + i % 5 for i in range(20)] * 2)
    assert texts == [None] * 41 and figures["new_tokens"] > 0


def test_a_unit_that_was_put_before_its_worker_died_is_not_scored_again(make_scorer: Callable[..., Scorer]) -> None:
    attempts = FailureTracker(1)
    line = asyncio.run(make_scorer(attempts)(unit(3, 4)))
    other: Any = make_scorer(attempts)
    assert asyncio.run(other(unit(3, 4))) == line and not other._engine.seen


@pytest.mark.parametrize("error", [RuntimeError("CUDA error"), ValueError("no room on the device")])
def test_an_engine_that_cannot_be_built_ends_its_process_until_that_was_too_often(
    make_scorer: Callable[..., Scorer], monkeypatch: pytest.MonkeyPatch, leaving: None, error: Exception
) -> None:
    monkeypatch.setattr(FakeEngine, "__init__", raising(error))
    attempts = FailureTracker(1)
    for _ in range(STARTS - 1):
        with pytest.raises(Left, match=f"the engine could not be built: {type(error).__name__}: {error}"):
            make_scorer(attempts)
    with pytest.raises(EngineError, match=f"{STARTS} starts .* {type(error).__name__}: {error}"):
        make_scorer(attempts)


def test_an_error_that_no_other_start_would_mend_is_raised_at_once(
    make_scorer: Callable[..., Scorer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FakeEngine, "__init__", raising(TypeError("an unexpected argument")))
    with pytest.raises(TypeError, match="an unexpected argument"):
        make_scorer()


def test_the_whole_start_is_watched(make_scorer: Callable[..., Scorer], monkeypatch: pytest.MonkeyPatch) -> None:
    watchdog = MagicMock()
    monkeypatch.setattr(scorer, "Watchdog", lambda **named: watchdog)
    monkeypatch.setattr(
        scorer, "load_tokenizer", watchdog.load_tokenizer
    )  # a tokenizer on a mount that is dead never comes
    make_scorer()
    assert [call[0] for call in watchdog.mock_calls if "()" not in call[0]] == ["expect", "load_tokenizer", "rest"]
    watchdog.expect.assert_called_once_with(3600)


def test_a_worker_whose_disk_never_answers_ends(
    make_scorer: Callable[..., Scorer], monkeypatch: pytest.MonkeyPatch, leaving: None
) -> None:
    monkeypatch.setattr(scorer, "PUT_SECONDS", 0.1)
    actor: Any = make_scorer()
    actor._put = lambda *given: time.sleep(1)
    for number in range(1, PUTS):
        with pytest.raises(Left, match=rf"the scores of unit u{number} were not put within 0\.1 s"):
            asyncio.run(actor(unit(3)._replace(name=f"u{number}")))
    own: Any = scorer.Watchdog
    own.return_value.expect.assert_called_with(60)  # what it tells the record may never be answered
    with pytest.raises(EngineError, match=r"3 workers waited for a put in vain, .* the scores of unit u3 were not put"):
        asyncio.run(actor(unit(3)._replace(name="u3")))


def raising(error: Exception) -> Callable[..., None]:
    def fail(*unused: Any, **named: Any) -> None:
        raise error

    return fail
