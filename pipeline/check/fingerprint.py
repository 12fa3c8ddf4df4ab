"""The fingerprint of a run's scores: what changes a score, and nothing else. Scores live below its name.

It needs no tokenizer: files are known by their contents, and code by constants that are raised when the code changes
numbers (`Reranker.version`, `numbers_version` of an engine).
"""

import hashlib
import importlib.metadata
import json
import re
from contextlib import suppress
from pathlib import Path
from typing import Any

from actors.engines import get_engine
from actors.rerankers import RERANKERS
from pipeline.config import Config

WEIGHTS = {".safetensors", ".bin", ".pt", ".pth", ".gguf"}
SAMPLES, BLOCK = 64, 4096  # blocks of a file of weights whose tensors are not known, and bytes of each


def compute_fingerprint(config: Config, columns: dict[str, str], id_forms: dict[str, str] = {}) -> str:
    """16 hex digits, and the engine with its minor version: `0123456789abcdef-vllm-0.32`.

    The digits stand for the model and its revision (of a local folder: the contents of its files), the adapter in the
    same way, the version of the reranker's code, its settings, `output.explain`, the columns read, the engine arguments
    that change numbers (all of them where the last digit counts: `run.deterministic`), and the minor version of
    tokenizers; for a reranker of whole queries, for whether the lowest first-stage score comes first, and for the minor
    version of ftfy. They stand for the form of ids, too (name_id_forms), which changes no score: a query must not have
    its id in two forms.
    """
    settings, engine = config.reranker, get_engine(config.engine)
    whole = RERANKERS[settings.type].whole_query  # which is given the candidates in their order
    parts = describe_engine(config) | {
        "versions": [RERANKERS[settings.type].version, engine.numbers_version],
        "reranker": settings.model_dump(exclude={"model", "adapter", "adapter_revision"}),
        "model": _describe_model(settings.model),
        **({"adapter": [_describe_model(settings.adapter), settings.adapter_revision]} if settings.adapter else {}),
        "explain": config.output.explain,
        "columns": columns,
        "limit": engine.max_length(config.engine),
        **({"ids": id_forms} if id_forms else {}),
        **({"order": "lower is better"} if whole and config.input.lower_is_better else {}),
        **({"ftfy": read_minor_version(importlib.metadata.version("ftfy"))} if whole else {}),
        "tokenizers": read_minor_version(importlib.metadata.version("tokenizers")),
    }
    digits = _digest(json.dumps(parts, sort_keys=True, default=str).encode())
    return f"{digits}-{engine.name.lower()}-{read_minor_version(engine.installed().version)}"


def differs_in_engine(fingerprint: str, other: str) -> bool:
    """Whether two fingerprints differ in the minor version of the engine alone."""
    return fingerprint != other and fingerprint.rpartition("-")[0] == other.rpartition("-")[0]


def read_minor_version(version: str) -> str:
    """Major and minor number of a version: `0.32` of `0.32.0+cpu`. Raises ValueError where there are none."""
    if not (found := re.match(r"\d+\.\d+", version)):
        raise ValueError(f"{version!r} is no version number")
    return found[0]


def describe_engine(config: Config) -> dict[str, Any]:
    """The arguments of the engine that change a score, as JSON-ready data."""
    exact = config.run.deterministic
    return {
        "engine": get_engine(config.engine).scoring_arguments(config.engine, exact),
        "deterministic": exact,
    }


def _describe_model(model: str) -> Any:
    """A model folder's identity: its small files' contents, and its weights' names, sizes and samples."""
    folder = Path(model)
    if not folder.is_dir():
        return model
    files = sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return [
        (str(path), _sample_weights(folder / path) if path.suffix in WEIGHTS else _digest((folder / path).read_bytes()))
        for path in files
        if path.suffix != ".md" and not any(part.startswith(".") for part in path.parts)
    ]


def _sample_weights(weights: Path) -> tuple[int, str]:
    """The size of a file of weights, and a digest of samples: a block of each tensor where their places are known, for
    a head alone may have been trained, else of blocks all over it."""
    size = weights.stat().st_size
    starts = [max(0, size - BLOCK) * i // (SAMPLES - 1) for i in range(SAMPLES)]
    with weights.open("rb") as file:
        if weights.suffix == ".safetensors" and size > 8:  # 8 bytes: the header's length; then the header, in JSON
            length = int.from_bytes(file.read(8), "little")
            with suppress(ValueError, AttributeError, KeyError, TypeError):  # no such header: vLLM will say so
                header = json.loads(file.read(min(length, size)))
                tensors = [about["data_offsets"] for name, about in header.items() if name != "__metadata__"]
                starts = [0, *(8 + length + (begin + end) // 2 for begin, end in tensors)]
        blocks = []
        for start in starts:
            file.seek(start)
            blocks.append(file.read(BLOCK))
    return size, _digest(b"".join(blocks))


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]
