"""How vLLM loads weights here: what no file fills is NaN, and not whatever is in memory.

vLLM's own check of what was loaded passes over all linear and embedding layers. A NaN among the weights makes every
score that depends on it null, with a reason.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from vllm.model_executor.model_loader import register_model_loader
from vllm.model_executor.model_loader.default_loader import DefaultModelLoader

from actors.engines.vllm.arguments import count_ranks

LOAD_FORMAT = "auto_from_nan"  # vLLM's name for this loader


@register_model_loader(LOAD_FORMAT)
class LoaderFromNan(DefaultModelLoader):
    """vLLM's loader of `auto`, for a model whose memory is NaN before."""

    def __init__(self, load_config: Any):
        super().__init__(replace(load_config, load_format="auto"))

    def create_model(self, *given: Any, **named: Any) -> torch.nn.Module:
        with _memory_of_nan():
            return super().create_model(*given, **named)


def load_from_nan(arguments: dict[str, Any]) -> dict[str, Any]:
    """The arguments of an engine, with this loader in place of vLLM's usual one. The processes of an engine of several
    ranks do not have it."""
    if arguments.get("load_format", "auto") != "auto" or count_ranks(arguments) > 1:
        return arguments
    return arguments | {"load_format": LOAD_FORMAT}


@contextmanager
def _memory_of_nan() -> Iterator[None]:
    """torch.empty gives NaN, or the largest whole number: a part of torch's deterministic mode."""
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])
