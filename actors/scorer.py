"""The Ray Data actor: units of tokenised pairs in, one line of figures a unit out.

The scores themselves do not travel: they are put where `put` says as soon as a unit's last pair is scored.
"""

import asyncio
import gc
import os
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from actors.contract import Settings, Unscored
from actors.engine import Engine
from actors.inbox import Inbox
from actors.pending import Pending
from actors.rerankers import RERANKERS
from actors.tokens import encoder

GARBAGE = 100_000  # new objects between two looks for cycles; Python's own is 700
Put = Callable[[Any, list[float | Unscored], list[str | None], dict[str, float]], Any]


class Scorer:
    """Holds one engine and scores the units that Ray Data brings, several at once.

    threads: what a CPU engine computes with; None leaves it to the environment.
    unpack, put: handed in by the pipeline: what a batch brings -> a unit with `prompts`; and a unit with its scores,
    what the model wrote for each pair, and figures -> the line about it that travels on.
    """

    def __init__(
        self,
        settings: Settings,
        engine: dict[str, Any],
        stall_seconds: float,
        threads: int | None,
        unpack: Callable[[Any], Any],
        put: Put,
    ):
        if threads:  # Ray sets this to the actor's num_cpus, which is 0 or 1 here, and torch reads it when imported
            os.environ["OMP_NUM_THREADS"] = str(threads)
        self._unpack, self._put = unpack, put
        reranker = RERANKERS[settings.type]
        tokens = encoder(settings, engine.get("max_model_len"))
        request = reranker.request(settings)
        self._max_tokens = request.max_tokens
        self._score = partial(reranker.score, tokens, settings)
        self._engine = Engine(settings, engine, request, tokens.label_ids(request.labels), stall_seconds)
        gc.set_threshold(GARBAGE)  # token ids come by the thousand, and each look holds up the engine's thread

    async def __call__(self, batch: Any) -> Any:
        started = time.perf_counter()
        unit = self._unpack(batch)
        pending = Pending(unit.prompts, self._max_tokens, self._score)
        inbox = Inbox()
        self._engine.ask(pending.first, inbox.put)
        while pending.left:
            asks = [ask for number, reply in await inbox.get() for ask in pending.take(number, reply)]
            if asks:
                self._engine.ask(asks, inbox.put)
        figures = pending.figures | {"seconds": time.perf_counter() - started}
        return await asyncio.to_thread(self._put, unit, pending.scores(), pending.texts(), figures)
