"""Scorers of known scores that take a moment, note what they are given, and break in the ways that engines break.

FOLDER is where the workers of a trial write their notes; `known_in` sets it.
"""

import asyncio
import os
import random
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from actors.rerankers.contract import Prompt
from actors.worker.actor import Scorer
from actors.worker.failures import Result
from tests.fakes import KnownQueries, KnownScorer, known_score

PAUSE = 0.4  # seconds a unit takes; several are in an actor at once
STALL = 2.0  # seconds after which a hanging one is ended


def known_in(scorer: type, folder: Path, seed: int) -> type:
    """The class, whose processes know the folder of their trial and its seed."""

    class Known(scorer):  # type: ignore[misc,valid-type]
        FOLDER, SEED = folder, seed

    return Known


class Noting:
    """Notes its process in the file `actors`, and each unit that it is given to score, with its process, in `given`."""

    FOLDER: ClassVar[Path]
    SEED: ClassVar[int]
    _unpack: Any

    def __init__(self, **settings: Any):
        with open(self.FOLDER / "actors", "a") as file:
            file.write(f"{os.getpid()}\n")
        super().__init__(**settings)

    async def __call__(self, batch: Any) -> Any:
        unit = self._unpack(batch)
        if unit.prompts:
            with open(self.FOLDER / "given", "a") as file:
                file.write(f"{unit.name} {os.getpid()}\n")
        return await super().__call__(batch)  # type: ignore[misc]

    def count(self, what: str) -> int:
        """The number of earlier calls for `what`, by any process of the trial."""
        number = 0
        while True:
            try:
                (self.FOLDER / f"{what}-{number}").touch(exist_ok=False)
                return number
            except FileExistsError:
                number += 1


class Calm(Noting, KnownScorer):
    async def score_prompts(self, prompts: Sequence[Prompt]) -> Result:
        await asyncio.sleep(PAUSE)
        return await super().score_prompts(prompts)


class ByStage(Noting, KnownQueries):
    """Scores that differ from stage to stage (by max_doc_tokens), and whole queries."""

    def build_engine(self, settings: Any, *unused: Any) -> None:
        self._stage: int = getattr(settings, "max_doc_tokens", 0)  # the model of whole queries has none

    async def score_prompts(self, prompts: Sequence[Any]) -> Result:
        await asyncio.sleep(PAUSE)
        found = await super().score_prompts(prompts)
        if isinstance(prompts[0], list):
            return found
        return found._replace(scores=[known_score([[self._stage, int(score * 2**32)]]) for score in found.scores])


class AllTogether(Calm):
    """Scores nothing before four actors have started."""

    async def score_prompts(self, prompts: Sequence[Prompt]) -> Result:
        while len((self.FOLDER / "actors").read_text().split()) < 4:
            await asyncio.sleep(0.05)
        return await super().score_prompts(prompts)


class FailsToStart(Calm):
    """One start in five fails, the first one among them."""

    def build_engine(self, *unused: Any) -> None:
        number = self.count("start")
        if number == 0 or random.Random(f"{self.SEED} {number}").random() < 0.2:
            self.count("failed")
            raise RuntimeError("CUDA error: out of memory")


class NeverStarts(Calm):
    def build_engine(self, *unused: Any) -> None:
        raise RuntimeError("CUDA error: no kernel image is available for execution on the device")


class Hangs(Calm):
    """Three times its whole process stands still, with a watchdog set as an engine sets its own."""

    async def score_prompts(self, prompts: Sequence[Prompt]) -> Result:
        if self.count("scored") in (0, 20, 40):
            self.count("hung")
            self._watchdog.expect(STALL)
            time.sleep(3600)  # the event loop of the actor with it
        return await super().score_prompts(prompts)


class RealEngine(Noting, Scorer):
    """vLLM itself."""


class HangingEngine(RealEngine):
    """vLLM itself, of which one step never ends."""

    def build_engine(self, *settings: Any) -> None:
        super().build_engine(*settings)
        vllm: Any = self._engine._engine  # type: ignore[attr-defined]
        step = vllm.step

        def hang() -> Any:
            if self.count("step") == 12:
                self.count("hung")
                time.sleep(3600)
            return step()

        vllm.step = hang


SCORERS = {
    scorer.__name__: scorer
    for scorer in (Calm, ByStage, AllTogether, FailsToStart, NeverStarts, Hangs, RealEngine, HangingEngine)
}
