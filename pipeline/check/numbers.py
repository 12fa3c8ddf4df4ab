"""Checks of a checkpoint's numbers, by its headers and the small tensors of its head; no large tensor is read."""

import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pipeline.check.checkpoint import Tensor
from pipeline.errors import UsageError

WHOLE = re.compile(r"(torch\.)?u?int\d+|[IU]\d+")  # types of whole numbers, as torch and safetensors spell them
HEADS = ("score", "classifier", "out_proj")  # what the last layers of classifiers are called
MOST_NUMBERS = 250_000  # of a head's tensor that is read: 1 MB of float32
PLAIN = {"weight", "bias"}


def check_types(name: str, model: Any, tensors: Mapping[str, Tensor]) -> None:
    """Raises UsageError for weights of whole numbers in a model that is not quantised, and for quantised ones that lack
    what their neighbours have. model: of transformers."""
    if hasattr(model.config, "quantization_config"):
        return _check_quantised(name, model.config.quantization_config, tensors)
    for key, tensor in tensors.items():
        if WHOLE.fullmatch(tensor.dtype) and key.rpartition(".")[2] in PLAIN:
            raise UsageError(
                f"reranker.model = {name!r}: the tensor {key} of {tensor.file} has whole numbers ({tensor.dtype}), and "
                "config.json has no quantization_config; save the model again"
            )


def _check_quantised(name: str, declared: Any, tensors: Mapping[str, Tensor]) -> None:
    kinds: dict[str, set[str]] = {}  # module -> the names of its tensors
    for key in tensors:
        stem, _, kind = key.rpartition(".")
        kinds.setdefault(stem, set()).add(kind)
    method = declared.get("quant_method") if isinstance(declared, dict) else declared.quant_method
    if method in ("gptq", "awq") and not any("qweight" in found for found in kinds.values()):
        raise UsageError(
            f"reranker.model = {name!r}: quantization_config of its config.json says {method}, and its files have no "
            "qweight; take it out if the weights are not quantised"
        )
    neighbours: dict[str, set[str]] = {}  # the same module of all layers -> the names of its tensors
    for stem, found in kinds.items():
        neighbours.setdefault(re.sub(r"\d+", "*", stem), set()).update(found - PLAIN)
    for stem, found in kinds.items():
        whole = found <= PLAIN and not any(_is_packed(tensors[f"{stem}.{kind}"]) for kind in found)  # not quantised
        if not whole and (lacking := neighbours[re.sub(r"\d+", "*", stem)] - found):
            raise UsageError(
                f"reranker.model = {name!r}: its files lack the tensor {stem}.{min(lacking)}, which the same module of "
                "other layers has"
            )


def _is_packed(tensor: Tensor) -> bool:
    return bool(WHOLE.fullmatch(tensor.dtype)) or "8" in tensor.dtype


def check_values(name: str, tensors: Mapping[str, Tensor]) -> None:
    """Raises UsageError where the head of a classifier is all zeros, or has a NaN or an infinity."""
    import torch  # imported here: it takes seconds

    for key, values in _read_head(tensors):
        if not torch.isfinite(values).all():
            raise UsageError(
                f"reranker.model = {name!r}: the tensor {key} has numbers that are NaN or infinite; save it again"
            )
        if key.endswith("weight") and not values.any():
            raise UsageError(
                f"reranker.model = {name!r}: the tensor {key} is all zeros, so every score would be the same; was the "
                "head trained, and saved?"
            )


def _read_head(tensors: Mapping[str, Tensor]) -> Iterator[tuple[str, Any]]:
    """The small tensors of the head that lie in safetensors on this machine."""
    from safetensors import safe_open  # imports torch

    for key, tensor in tensors.items():
        stem, _, kind = key.rpartition(".")
        head = kind in PLAIN and stem.rpartition(".")[2] in HEADS and "layer" not in key
        here = tensor.file.endswith(".safetensors") and Path(tensor.file).is_file()
        if head and here and math.prod(tensor.shape) <= MOST_NUMBERS:
            with safe_open(tensor.file, framework="pt") as opened:
                yield key, opened.get_tensor(key).float()
