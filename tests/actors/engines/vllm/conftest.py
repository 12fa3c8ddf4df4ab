"""Shared by tests of the engine: engines of their own, sequences, and what replies hold."""

from typing import Any

import numpy as np

from actors.engines.vllm.engine import Engine
from actors.rerankers.contract import Reply, Request, Unscored
from actors.rerankers.settings import Settings
from actors.rerankers.tokenizer import Tokenizer
from actors.worker.watchdog import Watchdog
from tests.parity import FLOAT32

SECONDS = 60  # longer than anything here takes
STALL_SECONDS = 1800


def build(
    settings: Settings,
    request: Request,
    arguments: dict[str, Any] | None = None,
    deterministic: bool = False,
    watchdog: Any = None,
) -> Engine:
    """An engine of the test's own."""
    label_ids, watchdog = Tokenizer(settings).label_ids(request.labels), watchdog or Watchdog()
    return Engine(settings, FLOAT32 | (arguments or {}), request, label_ids, STALL_SECONDS, watchdog, deterministic)


def sequences(length: int, count: int = 5) -> list[list[int]]:
    """Sequences of different tokens and lengths, so that every reply shows which sequence it belongs to."""
    return [[(length * 31 + i * 7 + j) % 600 for j in range(length + i)] for i in range(count)]


def logprobs(replies: list[Reply | Unscored]) -> np.ndarray:
    return np.array([reply.label_logprobs for reply in replies if isinstance(reply, Reply)])


def vectors(replies: list[Reply | Unscored]) -> np.ndarray:
    return np.array([reply.vector for reply in replies if isinstance(reply, Reply)])
