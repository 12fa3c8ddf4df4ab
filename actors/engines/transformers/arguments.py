"""The installed build of torch, and how it and the arguments make the type and the config of a model."""

import importlib.metadata
import sys
from functools import cache
from typing import Any

from actors.engines.contract import Installed


@cache  # it takes milliseconds, and is asked a dozen times
def installed() -> Installed:
    """The version of transformers, and whether torch is a CPU build. Raises LookupError where there is no torch."""
    try:
        torch = importlib.metadata.version("torch")
    except importlib.metadata.PackageNotFoundError:
        raise LookupError("torch is not installed: in the checkout, pip install '.[torch]'") from None
    return Installed(importlib.metadata.version("transformers"), "cpu" in torch or sys.platform != "linux")


def config_overrides(arguments: dict[str, Any]) -> dict[str, Any]:
    """The keys of the model's config.json that the arguments replace."""
    return dict(arguments.get("hf_overrides", {}))


def loaded_dtype(arguments: dict[str, Any], stored: str) -> str:
    """The type of the loaded weights. With dtype=auto float32 on CPUs; on a GPU the stored type, of which float32
    becomes bfloat16."""
    dtype = str(arguments.get("dtype", "auto"))
    if dtype != "auto":
        return {"float": "float32", "half": "float16"}.get(dtype, dtype)
    if installed().cpu:
        return "float32"
    return "bfloat16" if stored == "float32" else stored
