"""Shared by tests of the engine of transformers: tiny models, engines, and transformers called by hand."""

import queue
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from actors.engines.contract import EngineRequest
from actors.engines.transformers.engine import Engine
from actors.rerankers.contract import Request
from actors.rerankers.settings import Settings
from actors.rerankers.tokenizer import Tokenizer
from tests import tiny
from tests.actors.conftest import run

SECONDS = 60
LABELS = ("yes", "no", "1")
# Architectures that treat positions, masks or logits in ways of their own -> what their config has beside tiny.save's.
CAUSAL: dict[str, dict[str, Any]] = {
    "qwen2": {"num_key_value_heads": 1},  # rotary positions
    "bloom": {},  # ALiBi, by the mask
    "mpt": {"d_model": 64, "n_heads": 2, "n_layers": 2},  # ALiBi, by the places
    "gpt2": {"n_positions": 512},  # learned positions
    "opt": {"ffn_dim": 64, "word_embed_proj_dim": 64},  # learned positions, by the mask
    "gemma2": {"head_dim": 32, "num_key_value_heads": 1, "final_logit_softcapping": 2.0, "sliding_window": 8},
    "gemma3_text": {"head_dim": 32, "num_key_value_heads": 1, "sliding_window": 8},
    "cohere": {"num_key_value_heads": 1, "logit_scale": 0.1},
    "granite": {"num_key_value_heads": 1, "logits_scaling": 4.0},
    "phi": {},  # a head with a bias
    "mamba": {"state_size": 8},  # no attention
    "falcon_h1": {"num_key_value_heads": 1, "mamba_d_ssm": 64, "mamba_n_heads": 2, "mamba_d_head": 32},
    "qwen3_moe": {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32, "num_key_value_heads": 1},
}


def sequences(count: int = 9) -> list[list[int]]:
    """Sequences of different tokens, and lengths from 2 to some 80."""
    return [[(i * 31 + j * 7) % 500 + 5 for j in range(2 + i * i)] for i in range(count)]


@pytest.fixture(scope="module")
def save(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., str]:
    """An architecture -> the folder of a tiny model of it, with a tokenizer like Qwen2's; made once."""
    made: dict[str, str] = {}

    def make(kind: str, auto: Any = AutoModelForCausalLM, **config: Any) -> str:
        key = f"{kind} {auto} {config}"
        if key not in made:
            folder = tmp_path_factory.mktemp(kind)
            made[key] = tiny.save(folder, tiny.qwen2_tokenizer(), kind, auto, **CAUSAL.get(kind, {}) | config)
        return made[key]

    return make


class Quiet:
    """In the place of a watchdog."""

    def expect(self, seconds: float) -> None: ...

    def rest(self) -> None: ...


def build(model: str, request: Request, deterministic: bool = False, **arguments: Any) -> Engine:
    settings = Settings(type="", model=model)
    label_ids = Tokenizer(settings).label_ids(request.labels)
    return Engine(settings, {"dtype": "float32"} | arguments, request, label_ids, 1800, Quiet(), deterministic)


def replies(engine: Engine, asked: list[list[int]], **how: Any) -> list[Any]:
    return run(engine, asked, **how).result(SECONDS)


@cache
def load(auto: Any, folder: str) -> Any:
    """A model of transformers."""
    return auto.from_pretrained(folder, dtype=torch.float32).eval()


@torch.no_grad()
def logits_alone(folder: str, tokens: list[int]) -> torch.Tensor:
    """Shape (tokens, vocabulary)."""
    return load(AutoModelForCausalLM, folder)(input_ids=torch.tensor([tokens])).logits[0]


def labels_of(folder: str) -> list[int]:
    return Tokenizer(Settings(type="", model=folder)).label_ids(LABELS)


def ask(
    engine: Engine, asked: list[EngineRequest], then: Callable[[int, Any], list[EngineRequest]] | None = None
) -> dict[int, Any]:
    """The replies by their numbers, in the order in which they came. then: (number, reply) -> follow-ups."""
    inbox: queue.SimpleQueue = queue.SimpleQueue()
    engine.ask(asked, inbox.put)
    left, found = len(asked), {}
    while left:
        delivered = inbox.get(timeout=SECONDS)
        if isinstance(delivered, BaseException):
            raise delivered
        for number, reply in delivered:
            found[number] = reply
            more = then(number, reply) if then else []
            engine.ask(more, inbox.put)
            left += len(more) - 1
    return found
