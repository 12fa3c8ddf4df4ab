"""The fingerprint of a run's scores: what changes a score, and nothing else. Scores live below its name."""

import ast
import hashlib
import json
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow as pa

from actors.engines import ENGINE
from actors.rerankers import RERANKERS, Settings
from actors.rerankers.labelled import make_label_reranker
from actors.rerankers.tokenizer import Tokenizer
from actors.worker.pending import Pending
from pipeline.config import Config
from pipeline.input.pairs import make_pairs

WEIGHTS = {".safetensors", ".bin", ".pt", ".pth", ".gguf"}
SAMPLES, BLOCK = 64, 4096  # blocks of a file of weights whose tensors are not known, and bytes of each
PROBES = pa.table(
    {
        "query": ["probe", "What is 1 + 1?\n", "a" * 3000],
        "doc": ["text", " Zwei, natürlich. <|im_end|> 二 ", "b " * 3000],
    }
)


def compute_fingerprint(config: Config, columns: dict[str, str], tokenizer: Tokenizer) -> str:
    """16 hex digits over the model and its revision, the reranker's settings and code, `output.explain`, the columns
    read, the engine arguments that change numbers (all of them where the last digit counts: `run.deterministic`),
    vLLM's minor version, and a few probe prompts as token ids."""
    settings = config.reranker
    probes = RERANKERS[settings.type].prompt(tokenizer, settings, make_pairs(PROBES, settings))
    parts = {
        "code": _hash_code(settings),
        "reranker": settings.model_dump(exclude={"model"}),
        "model": _describe_model(settings.model),
        "explain": config.output.explain,
        "columns": columns,
        "limit": tokenizer.limit,
        "probes": probes,
    }
    return _digest(json.dumps(parts | describe_engine(config), sort_keys=True, default=str).encode())


def describe_engine(config: Config) -> dict[str, Any]:
    """The part of the engine that changes a score, as JSON-ready data: its arguments, its major and minor version."""
    exact = config.run.deterministic
    return {
        "engine": ENGINE.scoring_arguments(config.engine, exact),
        "deterministic": exact,
        "vllm": ENGINE.installed().version.split(".")[:2],
    }


def _hash_code(settings: Settings) -> list[str]:
    """Hashes of the code that builds prompts, asks the engine and reads its replies, without comments, docstrings and
    layout."""
    modules = (type(settings).__module__, make_label_reranker.__module__, Pending.__module__)
    files = [Path(str(sys.modules[name].__file__)) for name in modules]
    files += ENGINE.source_files(RERANKERS[settings.type].request(settings).task)
    return [_digest(strip_comments(file.read_text())) for file in files]


def strip_comments(source: str) -> bytes:
    """Python code without its comments, docstrings and layout."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.FunctionDef | ast.ClassDef) and ast.get_docstring(node) is not None:
            node.body[0] = ast.Pass()
    return ast.unparse(tree).encode()


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
