"""The ways in which a sample is scored: by the engine as configured, in other batches, without its prefix cache, and by
transformers."""

import os
from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import psutil

from actors.engines import get_engine
from actors.rerankers import RERANKERS
from pipeline.check.model import check_model_files
from pipeline.config import Config
from pipeline.errors import UsageError, say
from pipeline.estimate.memory import estimate_memory
from pipeline.verify.score import DoesNotFit, Order, Prompts, Scored, Written

BATCH = 7  # pairs that are asked for together, the second time
HALF = ("bfloat16", "float16")
CACHE = "enable_prefix_caching"  # the engine argument
SHARED = ("max_model_len", "hf_overrides", "pooler_config")  # engine arguments that the reference has, too
Score = Callable[[Config, Prompts, list[Order], Written, int], list[Scored]]


class Exact(NamedTuple):
    """The reference's scores. precision: float32, or that of the engine where float32 does not fit. rounded: its scores
    in the engine's precision, which show what rounding does; None where both are the same, or it is not half."""

    precision: str
    scores: np.ndarray
    rounded: np.ndarray | None

    def take(self, places: np.ndarray) -> "Exact":
        """The scores at these places."""
        return self._replace(scores=self.scores[places], rounded=None if self.rounded is None else self.rounded[places])


class Ways:
    """Scores of the same prompts, in float64, nan without one. score: see pipeline/verify/score.py."""

    def __init__(self, config: Config, prompts: Prompts, seed: int, score: Score):
        self._config, self._prompts, self._score = config, prompts, score
        self._name = get_engine(config.engine).name
        self._threads = int(config.workers.num_cpus or os.cpu_count() or 1)
        self._whole: Order = [[*range(len(prompts))]]
        shuffled = np.random.default_rng(seed).permutation(len(prompts)).tolist()
        self._parts: Order = [shuffled[at : at + BATCH] for at in range(0, len(prompts), BATCH)]
        self._written: Written = {}
        self.lines: list[str] = []  # about pairs without a score

    def score_engine(self) -> dict[str, np.ndarray]:
        """By the config's engine, the plain way first. The prefix cache is switched off only where it had anything."""
        first, again = self._ask(self._config, [self._whole, self._parts])
        self._note(self._name, first)
        self._written = first.written
        scores = {self._name: first.scores, f"{self._name}, in other batches": again.scores}
        if again.cached_tokens and CACHE in get_engine(self._config.engine).argument_names():
            (without,) = self._ask(_with_engine(self._config, **{CACHE: False}), [self._whole])
            scores[f"{self._name}, without prefix cache"] = without.scores
        return scores

    def score_exactly(self, reference: Config, precision: str) -> Exact:
        """By transformers. precision: of the engine. Raises DoesNotFit where there is no memory for the model."""
        try:
            exact = self._score_by(reference, "float32")
        except DoesNotFit as error:
            if precision == "float32":
                raise
            say(f"transformers in float32: {error}; it computes in {precision}")
            return Exact(precision, self._score_by(reference, precision if precision in HALF else "auto"), None)
        return Exact("float32", exact, self._score_by(reference, precision) if precision in HALF else None)

    def _score_by(self, reference: Config, dtype: str) -> np.ndarray:
        config = _with_engine(reference, dtype=dtype)
        weights, free = estimate_memory(config).weights, psutil.virtual_memory().available
        if weights and get_engine(config.engine).installed().cpu and weights > free:
            raise DoesNotFit(f"its weights take {weights / 1e9:.1f} GB, and {free / 1e9:.1f} GB are free")
        (scored,) = self._ask(config, [self._whole])
        self._note(f"transformers in {dtype}", scored)
        return scored.scores

    def _note(self, name: str, scored: Scored) -> None:
        reasons = Counter(reason for reason in scored.reasons if reason)
        self.lines += [f"{name}: {count} pair(s) have no score: {reason}" for reason, count in reasons.items()]

    def _ask(self, config: Config, orders: list[Order]) -> list[Scored]:
        return self._score(config, self._prompts, orders, self._written, self._threads)


def make_reference(config: Config) -> Config:
    """The config with transformers as its engine, and what else of the engine's arguments is the model's.

    Raises UsageError where transformers does not run the model so.
    """
    shared = {name: config.engine[name] for name in SHARED if name in config.engine}
    reference = config.model_copy(update={"engine": {"type": "transformers"} | shared})
    facts = get_engine(reference.engine)
    try:
        facts.installed()
        facts.check_arguments(reference.engine, RERANKERS[config.reranker.type].request(config.reranker).task, "")
    except (LookupError, ValueError) as error:
        raise UsageError(f"--against transformers: {error}; or compare by --against OUTPUT") from None
    return check_model_files(reference)


def _with_engine(config: Config, **arguments: Any) -> Config:
    return config.model_copy(update={"engine": config.engine | arguments})
