"""The Ray Data actor: takes units of tokenised pairs and returns one row of figures for each.

The scores do not travel: `write` stores them as soon as a unit's last pair is scored.
"""

import asyncio
import gc
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, NoReturn

from pydantic import ValidationError

from actors.engines import get_engine
from actors.engines.contract import Engine, EngineDied
from actors.engines.load import Load
from actors.rerankers import RERANKERS
from actors.rerankers.contract import Reranker, Unscored
from actors.rerankers.settings import Settings
from actors.rerankers.tokenizer import Tokenizer, load_tokenizer
from actors.worker.failures import FailureTracker, Result, Span, Worker
from actors.worker.gate import Gate
from actors.worker.inbox import Inbox
from actors.worker.pending import FIGURES, Pending
from actors.worker.queries import PendingQueries, join_rankings
from actors.worker.watchdog import Watchdog, leave

BUILD_SECONDS = 3600  # to build an engine, at least: weights may have to be fetched
WRITE_SECONDS = 3600.0  # far above a store's own limit: a longer write hangs in the operating system
GARBAGE = 100_000  # new objects between two searches for reference cycles; Python's default is 700
# Errors that another start would repeat: of an engine argument, or of the installation.
HOPELESS = (ValidationError, TypeError, ImportError)
# Most of these are about the model's files. Some may pass: the GPU's last process has not freed its memory yet, or the
# hub is away (an OSError that is a ValueError, too).
MOSTLY_HOPELESS = (ValueError, KeyError, AttributeError, NotImplementedError)
Write = Callable[[Any, list[float | Unscored], list[str | None], dict[str, float]], Any]


class Scorer:
    """Holds one engine and scores the units that Ray Data brings, several at once.

    threads: the number that a CPU engine computes with; None leaves it to the environment.
    unpack: turns a batch into a unit with `name`, `again` and `prompts`: prompts, or the candidates of each query in a
    list. write: writes a unit's scores, the model's
    texts and the figures, and returns the row that travels on. tracker: the run's FailureTracker, or a remote one.
    identify: returns this worker. watch: called once, with the function that reads how busy the engine is.
    write_seconds: the most that `write` may take. end_process: ends the process, for a reason. A worker calls it when
    its engine breaks or cannot be built: this frees the GPU, and Ray starts the actor again. make_watchdog: makes a
    Watchdog.
    """

    def __init__(
        self,
        settings: Settings,
        engine: dict[str, Any],
        stall_seconds: float,
        threads: int | None,
        unpack: Callable[[Any], Any],
        write: Write,
        tracker: FailureTracker | Any,
        identify: Callable[[], Worker],
        deterministic: bool = False,
        watch: Callable[[Callable[[], Load]], None] = lambda load: None,
        write_seconds: float = WRITE_SECONDS,
        end_process: Callable[[str], NoReturn] = leave,
        make_watchdog: Callable[..., Any] = Watchdog,
    ):
        if threads:  # Ray sets this to the actor's num_cpus, which is 0 or 1 here, and torch reads it when imported
            os.environ["OMP_NUM_THREADS"] = str(threads)
        self._unpack, self._write, self._write_seconds = unpack, write, write_seconds
        self._tracker, self._worker = tracker, identify()
        self._watch, self._gate, self._end_process = watch, Gate(), end_process
        self._make_watchdog = make_watchdog
        self._watchdog: Watchdog = make_watchdog(last_words=partial(tracker.broke, self._worker))
        self._reporters = ThreadPoolExecutor(4)  # not shared with writes: slow ones must not hold up the next units
        self._watchdog.expect(max(stall_seconds, BUILD_SECONDS))
        try:
            tracker.starting(self._worker)
            self._start(settings, engine, stall_seconds, deterministic)
        finally:
            self._watchdog.rest()
        gc.set_threshold(GARBAGE)  # a search among thousands of token ids holds up the engine's thread
        tracker.started(self._worker)

    def _start(self, *arguments: Any) -> None:
        """Builds the engine. Ends the process if it cannot, unless another start would fail as well."""
        try:
            self.build_engine(*arguments)
        except Exception as error:
            if _is_hopeless(error):
                raise
            message = _one_line(f"{type(error).__name__}: {error}")
            self._tracker.start_failed(self._worker, message)
            self._end_process(f"the engine could not be built: {message}")

    def build_engine(
        self, settings: Settings, engine: dict[str, Any], stall_seconds: float, deterministic: bool
    ) -> None:
        """Loads the tokenizer and builds the engine."""
        reranker, facts = RERANKERS[settings.type], get_engine(engine)
        tokenizer = load_tokenizer(settings, facts.max_length(engine))
        request = reranker.request(settings)
        self._make_pending = choose_pending(reranker, tokenizer, settings)
        label_ids = tokenizer.label_ids(request.labels)
        self._engine: Engine = facts.build_engine(
            settings, engine, request, label_ids, stall_seconds, self._watchdog, deterministic
        )
        self._watch(lambda: self._engine.load())

    async def __call__(self, batch: Any) -> Any:
        """Scores the unit of a batch and writes its scores. Returns the row that `write` returns."""
        started = time.perf_counter()
        unit = self._unpack(batch)
        if not unit.prompts:
            return await self._write_in_time(unit, [], [], FIGURES | {"seconds": 0.0})
        turn = await self._report(self._tracker.enter, unit.name, len(unit.prompts), unit.again)
        if turn.row is not None:
            return turn.row
        async with self._gate.enter(turn.alone):
            results: dict[Span, Result] = turn.known
            for span in turn.left:
                await self._report(self._tracker.begin, unit.name, span)
                results[span] = await self._score_span(unit.prompts[slice(*span)])
                await self._report(self._tracker.scored, unit.name, span, results[span])
        done = [result for _, result in sorted(results.items())]
        figures = {name: sum(result.figures.get(name, 0) for result in done) for name in FIGURES}
        figures["seconds"] = time.perf_counter() - started
        scores, texts = [s for result in done for s in result.scores], [t for result in done for t in result.texts]
        if isinstance(unit.prompts[0], list):
            scores, texts = join_rankings(unit.prompts, scores, texts)
        row = await self._write_in_time(unit, scores, texts, figures)
        await self._report(self._tracker.end, unit.name, row)
        return row

    async def _score_span(self, prompts: Sequence[Any]) -> Result:
        """The scores of prompts. Ends the process where the engine died over them."""
        try:
            return await self.score_prompts(prompts)
        except EngineDied as error:
            message = _one_line(str(error))
            self._end(self._tracker.broke, message, f"the engine broke: {message}")
            raise

    async def score_prompts(self, prompts: Sequence[Any]) -> Result:
        """Asks the engine for the scores of prompts, or of the candidates of queries. Raises EngineDied."""
        pending = self._make_pending(prompts)
        inbox = Inbox()
        self._engine.ask(pending.first, inbox.put)
        while pending.left:
            requests = [request for number, reply in await inbox.get() for request in pending.take(number, reply)]
            if requests:
                self._engine.ask(requests, inbox.put)
        return Result(pending.scores(), pending.texts(), pending.figures)

    async def _write_in_time(self, unit: Any, *scores: Any) -> Any:
        """Calls `write` and returns its row. Ends the process if a disk or mount never answers: another may."""
        writing = asyncio.create_task(asyncio.to_thread(self._write, unit, *scores))
        await asyncio.wait({writing}, timeout=self._write_seconds)
        if not writing.done():
            message = f"the scores of unit {unit.name} were not put within {self._write_seconds:g} s"
            self._end(self._tracker.put_hung, message, message)
        return writing.result()

    def _end(self, report: Callable[[Worker, str], object], message: str, log: str) -> None:
        """Reports a message to the tracker and ends the process, with a line in its log. Raises the tracker's error."""
        self._make_watchdog("its end").expect(
            60
        )  # a second one, which the engine's thread cannot put to rest: it frees the GPU
        report(self._worker, message)  # blocks the event loop, so that no other unit goes on meanwhile
        self._end_process(log)

    async def _report(self, report: Callable[..., Any], *arguments: Any) -> Any:
        """Calls a method of the tracker in a thread, so that other units go on, and returns its answer."""
        return await asyncio.get_running_loop().run_in_executor(self._reporters, report, self._worker, *arguments)

    def close(self) -> None:
        """Ends the threads other than the engine's. In a Ray actor they end with its process."""
        self._reporters.shutdown()
        self._watchdog.close()


def choose_pending(
    reranker: Reranker, tokenizer: Tokenizer, settings: Settings
) -> Callable[[Sequence[Any]], Pending | PendingQueries]:
    """The function that makes a Pending of prompts, or a PendingQueries where a reranker sees queries whole."""
    request = reranker.request(settings)
    if reranker.whole_query:
        rank = partial(reranker.whole_query.rank, tokenizer, settings)
        return partial(PendingQueries, rank=rank, writes=request.max_tokens > 1)
    # One label alone may well be unlikely.
    probabilities = len(request.labels) > 1 and not request.logits
    score = partial(reranker.score, tokenizer, settings)
    return partial(Pending, max_tokens=request.max_tokens, score=score, probabilities=probabilities)


def _is_hopeless(error: Exception) -> bool:
    """Whether another start would end in the same error."""
    if isinstance(error, HOPELESS):
        return True
    may_pass = isinstance(error, OSError) or "memory" in str(error).lower()
    return isinstance(error, MOSTLY_HOPELESS) and not may_pass


def _one_line(text: str) -> str:
    return " ".join(text.split())[:600]
