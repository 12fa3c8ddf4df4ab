"""The ways in which a sample is scored: by the engine as configured, in other batches, without its prefix cache, and by
transformers."""

import os
from collections.abc import Callable

import numpy as np
import psutil

from actors.engines import get_engine
from pipeline.check.model import check_model_files
from pipeline.config import Config
from pipeline.errors import UsageError, say
from pipeline.estimate.memory import estimate_memory
from pipeline.verify.score import DoesNotFit, Order, Prompts, Scored, Written

BATCH = 7  # pairs that are asked for together, the second time
CACHE = "enable_prefix_caching"  # the engine argument
SHARED = ("max_model_len", "hf_overrides", "pooler_config")  # engine arguments that the reference has, too
Score = Callable[[Config, Prompts, list[Order], Written, int], list[Scored]]


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

    def score_engine(self) -> dict[str, np.ndarray]:
        """By the config's engine, the plain way first. The prefix cache is switched off only where it had anything."""
        first, again = self._ask(self._config, [self._whole, self._parts])
        self._written = first.written
        scores = {self._name: first.scores, f"{self._name}, in other batches": again.scores}
        if again.cached_tokens and CACHE in get_engine(self._config.engine).argument_names():
            (without,) = self._ask(_with_engine(self._config, {**self._config.engine, CACHE: False}), [self._whole])
            scores[f"{self._name}, without prefix cache"] = without.scores
        return scores

    def score_reference(self, reference: Config) -> np.ndarray:
        """By a config of transformers. Raises DoesNotFit where there is no memory for it."""
        weights, there = estimate_memory(reference).weights, psutil.virtual_memory().available
        if weights and get_engine(reference.engine).installed().cpu and weights > there:
            raise DoesNotFit(f"its weights take {weights / 1e9:.1f} GB, and {there / 1e9:.1f} GB are free")
        (scored,) = self._ask(reference, [self._whole])
        return scored.scores

    def _ask(self, config: Config, orders: list[Order]) -> list[Scored]:
        return self._score(config, self._prompts, orders, self._written, self._threads)


def make_reference(config: Config, dtype: str) -> Config:
    """The config with transformers as its engine, one sequence at a time. dtype: as engine.dtype has it.

    Raises UsageError where transformers does not run the model so.
    """
    shared = {name: config.engine[name] for name in SHARED if name in config.engine}
    engine = {"type": "transformers", "dtype": dtype, **shared}
    facts = get_engine(engine)
    try:
        facts.installed()
        facts.check_arguments(engine, "generate", config.reranker.type)
    except (LookupError, ValueError) as error:
        raise UsageError(
            f"--against transformers: {error}; or name scores made elsewhere by --against OUTPUT"
        ) from None
    run = config.run.model_copy(update={"deterministic": True})
    reference = _with_engine(config, engine).model_copy(update={"run": run})
    return check_model_files(reference)


def score_exactly(ways: Ways, config: Config) -> tuple[str, np.ndarray]:
    """The type and the scores of the reference: float32, or the engine's own precision where that does not fit."""
    try:
        return "float32", ways.score_reference(make_reference(config, "float32"))
    except DoesNotFit as error:
        own = estimate_memory(config).dtype
        if own == "float32":
            raise
        say(f"transformers in float32: {error}; it computes in {own}")
    return own, ways.score_reference(make_reference(config, own))


def _with_engine(config: Config, engine: dict) -> Config:
    return config.model_copy(update={"engine": engine})
