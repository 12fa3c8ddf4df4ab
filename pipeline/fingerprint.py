"""The fingerprint of a run's scores: what changes a score, and nothing else. Scores live below its name."""

import ast
import hashlib
import json
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow as pa

import actors
from actors.installed import installed
from actors.labelled import labelled
from actors.rerankers import RERANKERS, Settings
from actors.tokens import Encoder
from pipeline.config import Config
from pipeline.prompt import pairs_of

# Engine arguments that change how fast or where a model runs, not what it computes (beyond the last digits).
NEUTRAL = {
    "gpu_memory_utilization", "max_num_seqs", "max_num_batched_tokens", "tensor_parallel_size",
    "pipeline_parallel_size",
    "num_gpu_blocks_override", "max_logprobs", "served_model_name", "use_tqdm_on_load", "safetensors_load_strategy",
    "disable_custom_all_reduce", "max_cudagraph_capture_size", "cudagraph_capture_sizes", "stream_interval",
    "enforce_eager", "disable_log_stats", "enable_prefix_caching", "enable_chunked_prefill", "block_size",
    "distributed_executor_backend", "download_dir", "max_parallel_loading_workers",
    "compilation_config", "scheduling_policy",
    "kv_cache_memory_bytes", "cpu_offload_gb", "async_scheduling", "optimization_level",
}  # fmt: skip
ACTORS = Path(actors.__file__).parent
WEIGHTS = {".safetensors", ".bin", ".pt", ".pth", ".gguf"}
SAMPLES, BLOCK = 64, 4096  # of a file of weights whose tensors are not known, and bytes of each
PROBES = pa.table(
    {
        "query": ["probe", "What is 1 + 1?\n", "a" * 3000],
        "doc": ["text", " Zwei, natürlich. <|im_end|> 二 ", "b " * 3000],
    }
)


def fingerprint(config: Config, columns: dict[str, str], encoder: Encoder) -> str:
    """16 hex digits over the model and its revision, the reranker's settings and code, `output.explain`, the columns
    read, the engine arguments that change numbers (all of them where the last digit counts: `run.deterministic`),
    vLLM's minor version, and a few probe prompts as token ids."""
    settings = config.reranker
    probes = RERANKERS[settings.type].prompt(encoder, settings, pairs_of(PROBES, settings))
    parts = {
        "code": _code(settings),
        "reranker": settings.model_dump(exclude={"model"}),
        "model": _model(settings.model),
        "explain": config.output.explain,
        "columns": columns,
        "limit": encoder.limit,
        "probes": probes,
    }
    return _digest(json.dumps(parts | of_engine(config), sort_keys=True, default=str).encode())


def of_engine(config: Config) -> dict[str, Any]:
    """What of the engine changes a score: its arguments, and vLLM's major and minor version, as JSON-ready data."""
    exact = config.run.deterministic
    return {
        "engine": {name: value for name, value in config.engine.items() if exact or name not in NEUTRAL},
        "deterministic": exact,
        "vllm": installed()[0].split(".")[:2],
    }


def _code(settings: Settings) -> list[str]:
    """How the family asks, and how the engine is asked and read, as code: comments, docstrings and layout do not
    count."""
    files = [Path(str(sys.modules[name].__file__)) for name in (type(settings).__module__, labelled.__module__)]
    files += [ACTORS / name for name in ("engine.py", "engine_arguments.py", "pending.py")]
    if RERANKERS[settings.type].request(settings).task == "likelihood":
        files += sorted((ACTORS / "engine_models").glob("*.py"))
    return [_digest(bare(file.read_text())) for file in files]


def bare(source: str) -> bytes:
    """Python code without its comments, docstrings and layout."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.FunctionDef | ast.ClassDef) and ast.get_docstring(node) is not None:
            node.body[0] = ast.Pass()
    return ast.unparse(tree).encode()


def _model(model: str) -> Any:
    """What tells a model folder from another: its small files' contents, and its weights' names, sizes and samples."""
    folder = Path(model)
    if not folder.is_dir():
        return model
    files = sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return [
        (str(path), _sampled(folder / path) if path.suffix in WEIGHTS else _digest((folder / path).read_bytes()))
        for path in files
        if path.suffix != ".md" and not any(part.startswith(".") for part in path.parts)
    ]


def _sampled(weights: Path) -> tuple[int, str]:
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
