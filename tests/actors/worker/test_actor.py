"""The actor around an engine that replies as the tests say."""

import asyncio
import itertools
import os
import threading
import time
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple, NoReturn

import numpy as np
import pytest

from actors.engines.contract import EngineDied, EngineRequest
from actors.engines.load import Load
from actors.rerankers.contract import Prompt, Reply, Unscored
from actors.rerankers.lb import LB
from actors.worker import actor as module
from actors.worker.actor import Scorer
from actors.worker.failures import PUTS, STARTS, EngineError, FailureTracker, Worker
from actors.worker.watchdog import Watchdog


class Unit(NamedTuple):
    prompts: list[Prompt]
    name: str = "u"
    again: bool = False


class Ended(BaseException):
    """Raised where the process would end."""


def raise_ended(reason: str) -> NoReturn:
    raise Ended(reason)


class FakeEngine:
    """Replies to a sequence of one token with the grade that the token stands for; refuses token 0.

    deadly: the token over which it breaks.
    """

    def __init__(self, deadly: int | None = None):
        self.seen: list[list[int]] = []
        self._deadly = deadly

    def ask(self, requests: list[EngineRequest], deliver: Any) -> None:
        if any(request.tokens == [self._deadly] for request in requests):
            deliver(EngineDied("out of memory"))
            return
        self.seen += [request.tokens for request in requests]
        deliver([(request.number, self._reply(request.tokens)) for request in reversed(requests)])

    def load(self) -> Load:
        return Load(7, 0.5)

    def _reply(self, tokens: list[int]) -> Reply | Unscored:
        if tokens[0] == 0:
            return Unscored("vLLM refused the prompt: it is longer than 512")
        p = np.full(7, 1e-30)
        p[tokens[0] - 1] = 1
        return Reply(prompt=tokens, cached_tokens=4, tokens=(9,), label_logprobs=np.log(p))


class FakeEngines:
    """In the place of the engine's facts: builds FakeEngines. failure: raised in the place of building."""

    def __init__(self, deadly: int | None = None, failure: Exception | None = None):
        self.deadly, self.failure = deadly, failure
        self.threads: list[str | None] = []

    def max_length(self, arguments: dict[str, Any]) -> None:
        return None

    def build_engine(self, *unused: Any) -> FakeEngine:
        self.threads.append(os.environ.get("OMP_NUM_THREADS"))
        if self.failure:
            raise self.failure
        return FakeEngine(self.deadly)


class Watched:
    """In the place of a Watchdog: notes its calls, and the subject of the watchdog that is called."""

    calls: ClassVar[list[tuple[str, Any]]] = []

    def __init__(self, what: str = "the engine", last_words: Any = None):
        self._what = what

    def expect(self, seconds: float) -> None:
        self.calls.append((self._what, seconds))

    def rest(self) -> None:
        self.calls.append((self._what, "rest"))

    def close(self) -> None:
        self.calls.append((self._what, "close"))


MakeScorer = Callable[..., Any]


@pytest.fixture
def engines(monkeypatch: pytest.MonkeyPatch) -> FakeEngines:
    engines = FakeEngines()
    monkeypatch.setattr(module, "get_engine", lambda arguments: engines)
    return engines


@pytest.fixture
def make_scorer(engines: FakeEngines, tiny_qwen2: str) -> MakeScorer:
    """Makes a scorer whose `write` returns its arguments, as a worker that was never seen before."""
    processes = itertools.count()

    def make(tracker: FailureTracker | None = None, **arguments: Any) -> Scorer:
        given: dict[str, Any] = {
            "settings": LB(type="lb", model=tiny_qwen2),
            "engine": {},
            "stall_seconds": 1800,
            "threads": None,
            "unpack": lambda batch: batch,
            "write": lambda *given: given,
            "tracker": tracker or FailureTracker(1),
            "identify": lambda: Worker("a", str(next(processes))),
            "end_process": raise_ended,
            "make_watchdog": Watched,  # a real one would end this process a minute later
        }
        return Scorer(**given | arguments)

    return make


def unit(*tokens: int, name: str = "u") -> Unit:
    arrays: list[Any] = [np.array([token], dtype=np.int32) for token in tokens]
    return Unit([Prompt([array]) for array in arrays], name)


def score(scorer: Scorer, given: Unit) -> Any:
    return asyncio.run(scorer(given))


def test_each_pair_gets_the_score_of_its_own_sequence(make_scorer: MakeScorer) -> None:
    scorer, given = make_scorer(), unit(7, 2, 7, 5)
    written, scores, texts, _ = score(scorer, given)
    assert written is given
    assert scores == pytest.approx([7, 2, 7, 5])
    assert texts == [None] * 4
    assert scorer._engine.seen == [[7], [2], [5]]


def test_figures_count_what_the_engine_was_given(make_scorer: MakeScorer) -> None:
    _, _, _, figures = score(make_scorer(), unit(7, 2, 7, 0))  # three sequences, one of them refused
    assert figures.pop("seconds") >= 0
    assert figures.pop("label_share") == pytest.approx(2.0)  # the engine's labels hold all of the probability
    counted = {name: count for name, count in figures.items() if count}
    assert counted == {"prompt_tokens": 2, "cached_tokens": 8, "new_tokens": 2, "equal_prompts": 1, "label_replies": 2}


def test_a_refused_sequence_leaves_its_pairs_unscored_and_the_others_scored(make_scorer: MakeScorer) -> None:
    _, scores, _, _ = score(make_scorer(), unit(3, 0, 4))
    assert scores == [pytest.approx(3), Unscored("vLLM refused the prompt: it is longer than 512"), pytest.approx(4)]


def test_a_unit_without_prompts_is_written_too(make_scorer: MakeScorer) -> None:
    _, scores, _, _ = score(make_scorer(), unit())
    assert scores == []


def test_threads_are_set_before_the_engine_is_built(
    make_scorer: MakeScorer, engines: FakeEngines, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    make_scorer(threads=3)
    assert engines.threads == ["3"]


def test_the_function_that_reads_the_load_is_passed_on_once(make_scorer: MakeScorer) -> None:
    watched: list[Callable[[], Load]] = []
    make_scorer(watch=watched.append)
    assert [read() for read in watched] == [Load(7, 0.5)]


def test_a_worker_whose_engine_died_ends_and_the_tracker_has_its_error(
    make_scorer: MakeScorer, engines: FakeEngines
) -> None:
    engines.deadly, tracker = 3, FailureTracker(1)
    for _ in range(4):
        with pytest.raises(Ended, match="the engine broke: out of memory"):
            score(make_scorer(tracker), unit(3))
    _, scores, _, _ = score(make_scorer(tracker), unit(3))
    assert scores == [Unscored("the worker that scored it alone died: out of memory", transient=True)]


def test_a_unit_that_kills_its_workers_is_scored_in_parts_except_for_the_row_that_does(
    make_scorer: MakeScorer, engines: FakeEngines
) -> None:
    engines.deadly, tracker = 6, FailureTracker(1)
    given = unit(*[1 + i % 5 for i in range(20)], 6, *[1 + i % 5 for i in range(20)])
    for _ in range(10):
        try:
            _, scores, texts, figures = score(make_scorer(tracker), given)
            break
        except Ended:
            continue
    assert scores[20] == Unscored("the worker that scored it alone died: out of memory", transient=True)
    assert scores[:20] + scores[21:] == pytest.approx([1 + i % 5 for i in range(20)] * 2)
    assert texts == [None] * 41 and figures["new_tokens"] > 0


def test_a_unit_that_was_written_before_its_worker_died_is_not_scored_again(make_scorer: MakeScorer) -> None:
    tracker = FailureTracker(1)
    row = score(make_scorer(tracker, write=lambda *_: "the row"), unit(3, 4))
    other = make_scorer(tracker)
    assert score(other, unit(3, 4)) == row == "the row" and not other._engine.seen


@pytest.mark.parametrize("error", [RuntimeError("CUDA error"), ValueError("no free memory"), FileNotFoundError("hub")])
def test_an_engine_that_cannot_be_built_ends_its_process_until_that_was_too_often(
    make_scorer: MakeScorer, engines: FakeEngines, error: Exception
) -> None:
    engines.failure, tracker = error, FailureTracker(1)
    for _ in range(STARTS - 1):
        with pytest.raises(Ended, match=f"the engine could not be built: {type(error).__name__}: {error}"):
            make_scorer(tracker)
    with pytest.raises(EngineError, match=f"{STARTS} starts .* {type(error).__name__}: {error}"):
        make_scorer(tracker)


@pytest.mark.parametrize(
    "error",
    [
        TypeError("an unexpected argument"),
        ValueError("these weights were not initialized"),
        KeyError("layers.2.bias"),
        NotImplementedError("no such head"),
    ],
)
def test_an_error_that_another_start_would_repeat_is_raised_at_once(
    make_scorer: MakeScorer, engines: FakeEngines, error: Exception
) -> None:
    engines.failure = error
    with pytest.raises(type(error), match=str(error)):
        make_scorer()


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Any]]:
    """The calls of all watchdogs, none of which ends this process."""
    monkeypatch.setattr(Watched, "calls", [])
    return Watched.calls


def test_the_whole_start_is_watched(make_scorer: MakeScorer, calls: list, tiny_qwen2: str) -> None:
    """A tokenizer on a dead mount never loads, and the tracker may never answer."""

    class Noting(FailureTracker):
        def starting(self, worker: Worker) -> None:
            calls.append(("tracker", "starting"))

    class NotingScorer(Scorer):
        def build_engine(self, *unused: Any) -> None:
            calls.append(("scorer", "build_engine"))

    NotingScorer(
        settings=LB(type="lb", model=tiny_qwen2),
        engine={},
        stall_seconds=1800,
        threads=None,
        unpack=lambda batch: batch,
        write=lambda *given: given,
        tracker=Noting(1),
        identify=lambda: Worker("a", "1"),
        make_watchdog=Watched,
    )
    watched = [("tracker", "starting"), ("scorer", "build_engine")]
    assert calls == [("the engine", 3600), *watched, ("the engine", "rest")]


def test_a_worker_whose_disk_never_answers_ends(make_scorer: MakeScorer, calls: list) -> None:
    scorer = make_scorer(write=lambda *given: time.sleep(1), write_seconds=0.1)
    for number in range(1, PUTS):
        scorer._worker = Worker("a", f"put {number}")
        with pytest.raises(Ended, match=rf"the scores of unit u{number} were not put within 0\.1 s"):
            score(scorer, unit(3, name=f"u{number}"))
        assert calls[-1] == ("its end", 60), "its report to the tracker may never be answered"
    scorer._worker = Worker("a", f"put {PUTS}")
    with pytest.raises(EngineError, match=r"3 workers waited for a put that never ended, .* unit u3 were not put"):
        score(scorer, unit(3, name="u3"))


def test_a_closed_scorer_leaves_no_thread_behind(make_scorer: MakeScorer) -> None:
    before = set(threading.enumerate())
    scorer = make_scorer(make_watchdog=Watchdog)
    score(scorer, unit(3))
    scorer.close()
    deadline = time.monotonic() + 10
    while (left := set(threading.enumerate()) - before) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not left
