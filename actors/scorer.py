"""The Ray Data actor: units of tokenised pairs in, one line of figures a unit out.

The scores themselves do not travel: they are put where `put` says as soon as a unit's last pair is scored.
"""

import asyncio
import math
import os
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from actors.engine import Engine
from actors.rerankers import RERANKERS
from actors.rerankers.contract import Reply, Settings, Unscored


class Scorer:
    """Holds one engine and scores the units that Ray Data brings, several at once.

    threads: what a CPU engine computes with; None leaves it to the environment.
    unpack, put: handed in by the pipeline: what a batch brings -> a unit with `prompts`; and a unit with its scores
    and figures -> the line about it that travels on.
    """

    def __init__(
        self,
        settings: Settings,
        engine: dict[str, Any],
        label_ids: list[int],
        stall_seconds: float,
        threads: int | None,
        unpack: Callable[[Any], Any],
        put: Callable[[Any, list[float | Unscored], dict[str, float]], Any],
    ):
        if threads:  # Ray sets this to the actor's num_cpus, which is 0 or 1 here, and torch reads it when imported
            os.environ["OMP_NUM_THREADS"] = str(threads)
        self._settings = settings
        self._reranker = RERANKERS[settings.type]
        self._unpack, self._put = unpack, put
        self._engine = Engine(settings, engine, self._reranker.request, label_ids, stall_seconds)

    async def __call__(self, batch: Any) -> Any:
        started = time.perf_counter()
        unit = self._unpack(batch)
        sequences, places = distinct(unit.prompts)
        replies = await asyncio.wrap_future(self._engine.run(sequences))
        scores = [self._score([replies[place] for place in pair]) for pair in places]
        seen = [reply for reply in replies if isinstance(reply, Reply)]
        figures = {
            "prompt_tokens": sum(reply.prompt_tokens for reply in seen),
            "cached_tokens": sum(reply.cached_tokens for reply in seen),
            "new_tokens": sum(reply.new_tokens for reply in seen),
            "seconds": time.perf_counter() - started,
        }
        return await asyncio.to_thread(self._put, unit, scores, figures)

    def _score(self, replies: list[Reply | Unscored]) -> float | Unscored:
        whole = [reply for reply in replies if isinstance(reply, Reply)]
        if len(whole) < len(replies):
            return next(reply for reply in replies if isinstance(reply, Unscored))
        score = self._reranker.score(self._settings, whole)
        if not isinstance(score, Unscored) and not math.isfinite(score):
            return Unscored(f"the model's score is {score}")
        return score


def distinct(prompts: list[list[np.ndarray]]) -> tuple[list[list[int]], list[list[int]]]:
    """The distinct token sequences of a unit, and for each pair the places of its own among them.

    Within one unit equal sequences are given to the engine once.
    """
    places: dict[bytes, int] = {}
    sequences: list[list[int]] = []
    pairs: list[list[int]] = []
    for prompt in prompts:
        pair = []
        for tokens in prompt:
            key = tokens.tobytes()
            if key not in places:
                places[key] = len(sequences)
                sequences.append(tokens.tolist())
            pair.append(places[key])
        pairs.append(pair)
    return sequences, pairs
