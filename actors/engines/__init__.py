"""Engines: what computes a model's replies. Each has a folder here, and nothing outside that folder imports it.

`get_engine` gives the facts of the engine that a config names, and its `build_engine`.
"""

from typing import Any

from actors.engines.contract import EngineFacts
from actors.engines.transformers import facts as transformers
from actors.engines.vllm import facts as vllm

ENGINES: dict[str, EngineFacts] = {"vllm": vllm, "transformers": transformers}  # `engine.type` -> its facts
DEFAULT = "vllm"


def get_engine(arguments: dict[str, Any]) -> EngineFacts:
    """The engine that an `engine` section names by its `type`. Raises ValueError, with a whole line, for others."""
    kind = arguments.get("type", DEFAULT)
    if not isinstance(kind, str) or kind not in ENGINES:
        raise ValueError(f"engine.type = {kind!r}: unknown; known engines are {', '.join(ENGINES)}")
    return ENGINES[kind]
