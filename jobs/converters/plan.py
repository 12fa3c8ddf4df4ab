"""The plan of a conversion: the new weights that each old one becomes, the new config and the tokenizer."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer

from pipeline.errors import UsageError, one_line


@dataclass(frozen=True)
class Weight:
    """An old weight. `parts` names the new weights it is cut into, of equal size, along its first dimension.

    With `unit_rows` its rows are scaled to length 1, and kept in float32: rounding them is left to the engine.
    """

    shape: tuple[int, ...]
    parts: tuple[str, ...]
    unit_rows: bool = False

    def convert(self, tensor: torch.Tensor) -> dict[str, torch.Tensor]:
        if self.unit_rows:
            tensor = torch.nn.functional.normalize(tensor.float())
        return {name: part.contiguous() for name, part in zip(self.parts, tensor.chunk(len(self.parts)), strict=True)}


@dataclass(frozen=True)
class Plan:
    """`weights` go by their old names; tensors whose whole name `ignored` matches hold what the code computes."""

    config: dict[str, Any]
    weights: dict[str, Weight]
    ignored: re.Pattern[str]
    tokenizer: Tokenizer
    tokenizer_config: dict[str, Any]


def read_json(path: Path, missing: dict[str, Any] | None = None) -> dict[str, Any]:
    """The object in a JSON file; `missing`, if given, where there is no such file."""
    if missing is not None and not path.exists():
        return missing
    try:
        value = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: {error.strerror if isinstance(error, OSError) else one_line(error)}") from None
    if not isinstance(value, dict):
        raise UsageError(f"{path}: is not a JSON object")
    return value


def need(path: Path, config: dict[str, Any], keys: tuple[str, ...]) -> list[Any]:
    """The values of keys that a config must have, all of them numbers above 0."""
    for key in keys:
        value = config.get(key)
        if isinstance(value, bool) or not isinstance(value, int | float) or value <= 0:
            raise UsageError(f"{path}: {key} is {value!r}, not a number above 0")
    return [config[key] for key in keys]


def need_fixed(path: Path, config: dict[str, Any], fixed: dict[str, Any]) -> None:
    """Refuses a config in which a key has another value than the one, also its default, that can be converted."""
    for key, value in fixed.items():
        if config.get(key, value) != value:
            raise UsageError(f"{path}: {key} is {config[key]!r}; only {value!r} can be converted")


def need_room(path: Path, tokenizer: Tokenizer, vocab_size: int) -> None:
    """Refuses a tokenizer with more tokens than the model has embeddings."""
    if (tokens := tokenizer.get_vocab_size()) > vocab_size:
        raise UsageError(f"{path}: {tokens} tokens, but vocab_size is {vocab_size} in config.json")
