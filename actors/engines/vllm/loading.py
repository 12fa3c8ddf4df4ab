"""How vLLM loads weights here: with an adapter merged in, and what no file fills is NaN, not whatever is in memory.

vLLM's own check of what was loaded passes over all linear and embedding layers. A NaN among the weights makes every
score that depends on it null, with a reason.
"""

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from vllm.model_executor.model_loader import register_model_loader
from vllm.model_executor.model_loader.default_loader import DefaultModelLoader

from actors.engines.vllm.arguments import find_merge_obstacle
from actors.rerankers.adapter import read_adapter
from actors.rerankers.settings import Settings

LOAD_FORMAT = "auto_from_nan"  # vLLM's name for this loader
ADAPTER = "adapter"  # of model_loader_extra_config: the adapter's own settings


@register_model_loader(LOAD_FORMAT)
class LoaderFromNan(DefaultModelLoader):
    """vLLM's loader of `auto`, for a model whose memory is NaN before, and one that may have an adapter."""

    def __init__(self, load_config: Any):
        extra = {**load_config.model_loader_extra_config}
        self._adapter = extra.pop(ADAPTER, None)
        super().__init__(replace(load_config, load_format="auto", model_loader_extra_config=extra))

    def get_all_weights(self, *given: Any) -> Generator[tuple[str, torch.Tensor], None, None]:
        weights = super().get_all_weights(*given)
        yield from read_adapter(Settings(**self._adapter)).merge(weights) if self._adapter else weights

    def create_model(self, *given: Any, **named: Any) -> torch.nn.Module:
        with _memory_of_nan():
            return super().create_model(*given, **named)


def load_from_nan(arguments: dict[str, Any], adapter: Settings | None = None) -> dict[str, Any]:
    """The arguments of an engine, with this loader in place of vLLM's usual one. The processes of an engine of several
    ranks do not have it. adapter: its own settings. Raises ValueError where there is one, and not this loader."""
    if obstacle := find_merge_obstacle(arguments):
        if adapter:
            raise ValueError(f"no adapter can be merged with {obstacle}")
        return arguments
    extra = arguments.get("model_loader_extra_config", {})
    if adapter:
        extra = extra | {ADAPTER: adapter.model_dump()}
    return arguments | {"load_format": LOAD_FORMAT, "model_loader_extra_config": extra}


@contextmanager
def _memory_of_nan() -> Iterator[None]:
    """torch.empty gives NaN, or the largest whole number: a part of torch's deterministic mode."""
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])
