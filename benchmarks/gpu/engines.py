"""The product's tokenizer and actor as the checks build them, and the facts that vLLM gives about an engine."""

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from actors.engines import get_engine
from actors.rerankers import RERANKERS, Settings
from actors.rerankers.contract import Pair, Prompt
from actors.rerankers.tokenizer import load_tokenizer
from actors.worker.actor import Scorer
from actors.worker.failures import FailureTracker, Worker
from benchmarks.gpu.models import save_model

STALL_SECONDS = 600.0  # longer than any step takes, compiling included
# An engine's share of a GPU's memory that must be free at its start: several checks run at once. Keys and values get
# kv_cache_memory_bytes.
ON_GPU: dict[str, Any] = {"gpu_memory_utilization": 0.15}


class Machine(NamedTuple):
    """device: `cuda` or `cpu`. tiny: whether checks take small models and few pairs."""

    device: str
    tiny: bool


class Prompts(NamedTuple):
    """made: a prompt for each pair that has one. there: whether each pair has one."""

    made: list[Prompt]
    there: np.ndarray


def make_settings(kind: str, model: str, machine: Machine, **keys: Any) -> Settings:
    """The `reranker` section of the family `kind`, with a new model. model: a name of models.py."""
    folder = Path(tempfile.mkdtemp(prefix=f"{model}-"))
    return RERANKERS[kind].settings(type=kind, model=save_model(model, folder, machine.device), **keys)


def engine_arguments(machine: Machine, **arguments: Any) -> dict[str, Any]:
    """An `engine` section."""
    return (ON_GPU if machine.device == "cuda" else {}) | arguments


def make_prompts(settings: Settings, arguments: dict[str, Any], pairs: Sequence[tuple[str, str]]) -> Prompts:
    """The prompts of (query, document) pairs, with their tokens as arrays, as units bring them."""
    tokenizer = load_tokenizer(settings, get_engine(arguments).max_length(arguments))
    instruction = getattr(settings, "instruction", None)
    made = RERANKERS[settings.type].prompt(tokenizer, settings, [Pair(*pair, instruction) for pair in pairs])
    prompts = [
        prompt._replace(sequences=[np.array(tokens, np.int32) for tokens in prompt.sequences])
        for prompt in made
        if isinstance(prompt, Prompt)
    ]
    return Prompts(prompts, np.array([isinstance(prompt, Prompt) for prompt in made]))


def build_scorer(settings: Settings, arguments: dict[str, Any], machine: Machine) -> Scorer:
    """The actor of a job, without Ray around it."""
    threads = os.cpu_count() if machine.device == "cpu" else None
    unused: Any = None
    worker = Worker("benchmark", str(os.getpid()))
    return Scorer(settings, arguments, STALL_SECONDS, threads, unused, unused, FailureTracker(1), lambda: worker)


@contextmanager
def keep_vllm_engines() -> Iterator[list[Any]]:
    """A list to which each of vLLM's engines is added as it is built, within the `with` block."""
    from vllm.v1.engine.llm_engine import LLMEngine

    kept: list[Any] = []
    build = LLMEngine.from_engine_args

    def build_and_keep(*arguments: Any, **keys: Any) -> LLMEngine:
        kept.append(build(*arguments, **keys))
        return kept[-1]

    LLMEngine.from_engine_args = build_and_keep  # type: ignore[assignment,method-assign]
    try:
        yield kept
    finally:
        LLMEngine.from_engine_args = build  # type: ignore[method-assign]


def describe_engine(engine: Any) -> dict[str, Any]:
    """The attention backends and the model runner of one of vLLM's engines, and the most memory that torch took."""
    import torch

    config = engine.vllm_config
    layers = config.compilation_config.static_forward_context.values()
    attention = {layer.get_attn_backend().get_name() for layer in layers if hasattr(layer, "get_attn_backend")}
    facts = {"attention": sorted(attention), "v2_runner": bool(config.use_v2_model_runner)}
    if torch.cuda.is_available():
        facts["torch_MiB"] = round(torch.cuda.max_memory_allocated() / 2**20)
    return facts
