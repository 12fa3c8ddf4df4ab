"""Scorers without an engine, whose scores depend on the tokens alone, and which fail in known ways.

Names of methods, fields and modules differ from tree to tree: all is done through what `tests.fakes` overrides.
"""

import inspect
import os
import signal
import sys
import time
import zlib
from collections.abc import Callable
from typing import Any

from tests.fakes import KnownScorer

OVERRIDDEN = {name: value for name, value in vars(KnownScorer).items() if inspect.isfunction(value)}
SCORE = next(name for name, value in OVERRIDDEN.items() if inspect.iscoroutinefunction(value))
BUILD = next(name for name in OVERRIDDEN if name != SCORE)
LONG = 600  # characters of a prompt, when it is printed, that kills: no other one of its case is half as long


def _scoring(name: str, change: Callable[[list[Any], list[Any]], None], before: Callable[[Any], None]) -> type:
    """A scorer that is asked `before` it scores prompts, and changes the scores and texts that come of them."""

    async def score(self: Any, prompts: Any, *more: Any) -> Any:
        before(prompts)
        result = await OVERRIDDEN[SCORE](self, prompts, *more)
        scores, texts, *others = result
        scores, texts = [*scores], [*texts]
        change(scores, texts)
        return type(result)(scores, texts, *others)

    return type(name, (KnownScorer,), {SCORE: score})


def _drawn(score: float, salt: str) -> int:
    return zlib.crc32(f"{salt} {score!r}".encode())


def _unscored(reason: str, transient: bool) -> Any:
    """The project's own mark of a pair without a score."""
    kind = next(vars(module)["Unscored"] for module in [*sys.modules.values()] if "Unscored" in vars(module))
    return kind(reason, transient)


def _tell(scores: list[Any], texts: list[Any]) -> None:
    """An explanation for every pair, and no score for some."""
    for i, score in enumerate(scores):
        texts[i] = f"I think\nit is {_drawn(score, 'text') % 97} \u00e9"
        if _drawn(score, "bad") % 13 == 0:
            scores[i] = _unscored("the model's answer is not a whole number of 0 to 10: 'x'", False)


def _pass(scores: list[Any], texts: list[Any]) -> None:
    """No score for some pairs, for a reason that may pass."""
    for i, score in enumerate(scores):
        if _drawn(score, "pass") % 5 == 0:
            scores[i] = _unscored("the worker that scored it alone died: no reason", True)


def _keep(scores: list[Any], texts: list[Any]) -> None:
    """All as it is."""


def _die(prompts: Any) -> None:
    """The outcome of a long prompt."""
    if any(len(repr(prompt)) > LONG for prompt in prompts):
        os.kill(os.getpid(), signal.SIGKILL)


def _rest(prompts: Any) -> None:
    """For a moment, so that a driver can be killed in between."""
    time.sleep(0.15)


def _broken(error: Exception) -> Callable[..., None]:
    def build(*unused: Any) -> None:
        raise error

    return build


Telling = _scoring("Telling", _tell, lambda prompts: None)
Passing = _scoring("Passing", _pass, lambda prompts: None)
Deadly = _scoring("Deadly", _keep, _die)
Slow = _scoring("Slow", _keep, _rest)
Failing = type("Failing", (KnownScorer,), {BUILD: _broken(RuntimeError("no room on the device"))})
Hopeless = type("Hopeless", (KnownScorer,), {BUILD: _broken(TypeError("no such argument"))})
SCORERS: dict[str, type] = {
    "known": KnownScorer,
    "telling": Telling,
    "passing": Passing,
    "deadly": Deadly,
    "slow": Slow,
    "failing": Failing,
    "hopeless": Hopeless,
}
