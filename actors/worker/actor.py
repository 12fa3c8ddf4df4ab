"""The Ray Data actor: units of tokenised pairs in, one line of figures a unit out.

The scores themselves do not travel: they are put where `put` says as soon as a unit's last pair is scored.
"""

import asyncio
import gc
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from pydantic import ValidationError

from actors.engines.contract import EngineDied
from actors.engines.load import Load
from actors.engines.vllm.engine import Engine
from actors.rerankers import RERANKERS
from actors.rerankers.contract import Prompt, Unscored
from actors.rerankers.settings import Settings
from actors.rerankers.tokenizer import load_tokenizer
from actors.worker.failures import FailureTracker, Part, Result
from actors.worker.gate import Gate
from actors.worker.inbox import Inbox
from actors.worker.pending import FIGURES, Pending
from actors.worker.watchdog import Watchdog, leave

BUILD_SECONDS = 3600  # at least, for weights may have to be fetched
PUT_SECONDS = 3600  # far above what a store's own bound comes to: what takes longer hangs in the system
GARBAGE = 100_000  # new objects between two looks for cycles; Python's own is 700
# What no further start would mend: of an engine argument, or of what is installed. vLLM has other errors, ValueErrors
# among them, for a GPU whose last process has not let go of its memory yet.
HOPELESS = (ValidationError, TypeError, ImportError)
Put = Callable[[Any, list[float | Unscored], list[str | None], dict[str, float]], Any]


class Scorer:
    """Holds one engine and scores the units that Ray Data brings, several at once.

    threads: what a CPU engine computes with; None leaves it to the environment.
    unpack, put, record: handed in by the pipeline: what a batch brings -> a unit with `name`, `prompts` and `again`; a
    unit with its scores, what the model wrote for each pair, and figures -> the line about it that travels on; and a
    call of a method of the run's Attempts, for this worker. watch: is given, once, what tells how busy the engine is.
    A worker whose engine breaks, or cannot be built, ends its process: what it held on the GPU is free then, and Ray
    starts the actor again.
    """

    def __init__(
        self,
        settings: Settings,
        engine: dict[str, Any],
        stall_seconds: float,
        threads: int | None,
        unpack: Callable[[Any], Any],
        put: Put,
        record: Callable[..., Any],
        deterministic: bool = False,
        watch: Callable[[Callable[[], Load]], None] = lambda load: None,
    ):
        if threads:  # Ray sets this to the actor's num_cpus, which is 0 or 1 here, and torch reads it when imported
            os.environ["OMP_NUM_THREADS"] = str(threads)
        self._unpack, self._put, self._record = unpack, put, record
        self._watched_by, self._gate = watch, Gate()
        self._watchdog = Watchdog(last_words=partial(record, FailureTracker.broke))
        self._clerks = ThreadPoolExecutor(4)  # a few slow puts must not hold up who is to go into the engine next
        self._watchdog.expect(max(stall_seconds, BUILD_SECONDS))
        try:
            record(FailureTracker.starting)
            self._try(settings, engine, stall_seconds, deterministic)
        finally:
            self._watchdog.rest()
        gc.set_threshold(GARBAGE)  # token ids come by the thousand, and each look holds up the engine's thread
        record(FailureTracker.started)

    def _try(self, *how: Any) -> None:
        """Builds the engine. Ends the process where it cannot be built, but might be by another."""
        try:
            self._build(*how)
        except HOPELESS:
            raise
        except Exception as error:
            said = _line(f"{type(error).__name__}: {error}")
            self._record(FailureTracker.start_failed, said)
            leave(f"the engine could not be built: {said}")

    def _build(self, settings: Settings, engine: dict[str, Any], stall_seconds: float, deterministic: bool) -> None:
        reranker = RERANKERS[settings.type]
        tokens = load_tokenizer(settings, engine.get("max_model_len"))
        request = reranker.request(settings)
        self._max_tokens = request.max_tokens
        self._score = partial(reranker.score, tokens, settings)
        label_ids = tokens.label_ids(request.labels)
        self._engine = Engine(settings, engine, request, label_ids, stall_seconds, self._watchdog, deterministic)
        self._watched_by(lambda: self._engine.load())

    async def __call__(self, batch: Any) -> Any:
        started = time.perf_counter()
        unit = self._unpack(batch)
        if not unit.prompts:
            return await self._put_in_time(unit, [], [], FIGURES | {"seconds": 0.0})
        turn = await self._tell(FailureTracker.enter, unit.name, len(unit.prompts), unit.again)
        if turn.line is not None:
            return turn.line
        async with self._gate.enter(turn.alone):
            results: dict[Part, Result] = turn.known
            for part in turn.left:
                await self._tell(FailureTracker.begin, unit.name, part)
                results[part] = await self._part(unit.prompts[slice(*part)])
                await self._tell(FailureTracker.scored, unit.name, part, results[part])
        parts = [result for _, result in sorted(results.items())]
        figures = {name: sum(part.figures.get(name, 0) for part in parts) for name in FIGURES}
        figures["seconds"] = time.perf_counter() - started
        scores, texts = [s for part in parts for s in part.scores], [t for part in parts for t in part.texts]
        line = await self._put_in_time(unit, scores, texts, figures)
        await self._tell(FailureTracker.end, unit.name, line)
        return line

    async def _part(self, prompts: Sequence[Prompt]) -> Result:
        """The scores of prompts. Ends the process where the engine died over them."""
        try:
            return await self._scored(prompts)
        except EngineDied as error:
            said = _line(str(error))
            self._end(FailureTracker.broke, said, f"the engine broke: {said}")
            raise

    async def _scored(self, prompts: Sequence[Prompt]) -> Result:
        pending = Pending(prompts, self._max_tokens, self._score)
        inbox = Inbox()
        self._engine.ask(pending.first, inbox.put)
        while pending.left:
            asks = [ask for number, reply in await inbox.get() for ask in pending.take(number, reply)]
            if asks:
                self._engine.ask(asks, inbox.put)
        return Result(pending.scores(), pending.texts(), pending.figures)

    async def _put_in_time(self, unit: Any, *what: Any) -> Any:
        """What `put` returns. Ends the process where a disk or mount never answers: elsewhere it may."""
        put = asyncio.create_task(asyncio.to_thread(self._put, unit, *what))
        await asyncio.wait({put}, timeout=PUT_SECONDS)
        if not put.done():
            said = f"the scores of unit {unit.name} were not put within {PUT_SECONDS} s"
            self._end(FailureTracker.put_hung, said, said)
        return put.result()

    def _end(self, method: Callable[..., Any], said: str, log: str) -> None:
        """Tells the record why, and ends the process. Raises what the record raises where it was once too often."""
        Watchdog("its end").expect(60)  # one that the engine's thread does not know: the GPU must not stay held
        self._record(method, said)  # and meanwhile no other unit's turn comes
        leave(log)

    async def _tell(self, method: Callable[..., Any], *what: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._clerks, self._record, method, *what)


def _line(text: str) -> str:
    return " ".join(text.split())[:600]
