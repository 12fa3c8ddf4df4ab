"""vLLM as actors/engines/contract.py's EngineFacts: what the rest of rayrank may know without importing vLLM.

Importing vLLM takes seconds, so names and versions are read from its metadata and its source.
"""

import ast
import importlib.metadata
import importlib.util
import os
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

from actors.engines.contract import Engine, Watchdog
from actors.engines.vllm.arguments import PARALLEL
from actors.engines.vllm.arguments import count_ranks as count_ranks
from actors.engines.vllm.arguments import find_merge_obstacle as find_merge_obstacle
from actors.engines.vllm.head import find_other_steps as find_other_steps
from actors.engines.vllm.version import installed as installed
from actors.rerankers.contract import Request, Task
from actors.rerankers.settings import Settings

name = "vLLM"
numbers_version = 1
RESERVED: tuple[str, ...] = (
    "model", "revision", "tokenizer", "tokenizer_revision", "runner", "trust_remote_code",
    "logprobs_mode", "skip_tokenizer_init",
)  # fmt: skip
CHECKPOINT_FORMATS = ("auto", "hf", "safetensors", "fastsafetensors", "instanttensor", "npcache", "pt")
LENGTH_KEYS = (
    "max_position_embeddings", "n_positions", "max_seq_len", "seq_length", "max_target_positions",
    "max_sequence_length", "max_seq_length", "seq_len",
)  # fmt: skip
# Arguments that change how fast or where a model runs, but no more than the last digits of its scores.
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


def argument_names() -> set[str]:
    """The names of vLLM's engine arguments, which are the fields of EngineArgs in its source."""
    classes = (
        node for node in _source("engine/arg_utils.py") if isinstance(node, ast.ClassDef) and node.name == "EngineArgs"
    )
    fields = (field for node in classes for field in node.body if isinstance(field, ast.AnnAssign))
    return {field.target.id for field in fields if isinstance(field.target, ast.Name)}


def retired_architectures() -> dict[str, str]:
    """Model architectures that this vLLM no longer runs -> the last version that did, from its source."""
    for node in _source("model_executor/models/registry.py"):
        target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
        if isinstance(target, ast.Name) and target.id == "_PREVIOUSLY_SUPPORTED_MODELS":
            return ast.literal_eval(node.value)  # type: ignore[attr-defined]
    return {}


def runs_architecture(architecture: str) -> bool:
    """Whether this vLLM has a model for an architecture: of its own, converted from one, or by way of transformers,
    where it cannot start those with an encoder and a decoder, though it tries."""
    own = {
        key.value
        for node in _source("model_executor/models/registry.py")
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Dict)
        if isinstance(node.targets[0], ast.Name) and node.targets[0].id.endswith("_MODELS")
        if "SUPPORTED_MODELS" not in node.targets[0].id or "TRANSFORMERS" in node.targets[0].id
        for key in node.value.keys
        if isinstance(key, ast.Constant)
    }
    endings = [ending for ending, _ in _default_tasks()]
    if any(architecture.removesuffix(ending) + other in own for ending in ["", *endings] for other in ["", *endings]):
        return True
    import transformers  # imported here: it takes seconds

    kind = getattr(transformers, architecture, None)
    if kind is None or kind.config_class.is_encoder_decoder:
        return False
    return bool(kind.is_backend_compatible() or kind._can_set_attn_implementation())


def read_task(architecture: str) -> Task | None:
    """The task of an architecture, by its name: generate, embed or classify; None where that does not say."""
    if architecture.endswith("ForMaskedLM"):
        return "embed"
    return next((task for ending, task in _default_tasks() if architecture.endswith(ending)), None)


def converts(arguments: dict[str, Any]) -> bool:
    """Whether the arguments have the model do another thing than its architecture does."""
    return "convert" in arguments or "runner" in arguments


def sets_pooling(arguments: dict[str, Any]) -> bool:
    """Whether the arguments say how hidden states become a vector."""
    return "pooler_config" in arguments


def embedding_modules() -> set[str]:
    """The modules that vLLM looks for in a modules.json, from its source."""
    return {
        kind
        for node in _source("transformers_utils/config.py")
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]).endswith("_MODULE_TYPES")
        for kind in ast.literal_eval(node.value)
    }


def has_activation(name: str) -> bool:
    """By vLLM's own table of names, which may have torch's module before them; Identity goes with that alone."""
    short = name.lower().rpartition(".")[2] if name.lower().startswith("torch.nn.modules.") else name.lower()
    if short == "identity":
        return short != name.lower()
    return short in _read_activations()


@cache
def _read_activations() -> set[str]:
    registry = _find_value("model_executor/layers/activation.py", "_ACTIVATION_REGISTRY")
    tables = (node for node in ast.walk(registry) if isinstance(node, ast.Dict))
    return {key.value for table in tables for key in table.keys if isinstance(key, ast.Constant)}  # type: ignore[misc]


def check_arguments(arguments: dict[str, Any], task: Task, reranker: str) -> None:
    """Raises ValueError for a wrong number of parallel processes, and for more than one where likelihoods are read."""
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


def max_length(arguments: dict[str, Any]) -> Any:
    """The most tokens of a prompt and its answer that the arguments allow; None where they do not say."""
    return arguments.get("max_model_len")


def find_longest(config: dict[str, Any], saved: int | None) -> int | None:
    """vLLM's derived_max_model_len, beyond which it refuses max_model_len, of models without scaled positions."""
    scaled = config.get("rope_scaling") or _rope_kinds(config.get("rope_parameters")) - {"default"}
    if os.environ.get("VLLM_ALLOW_LONG_MAX_MODEL_LEN", "0") not in ("0", "") or scaled:
        return None
    lengths = [config[key] for key in LENGTH_KEYS if isinstance(config.get(key), int)]
    return saved or config.get("model_max_length") or min(lengths, default=None)


def _rope_kinds(parameters: Any) -> set[str]:
    """The kinds of scaling in rope_parameters, which may be given for each kind of layer."""
    if not isinstance(parameters, dict):
        return set()
    inner = [_rope_kinds(value) for value in parameters.values()]
    return set().union(*inner) | {str(parameters[key]) for key in ("rope_type", "type") if key in parameters}


def has_quantization(method: str) -> bool:
    """Whether vLLM's sources of quantisation name it anywhere, for some have several names; plugins may add others."""
    plugins = importlib.metadata.entry_points(group="vllm.general_plugins")
    if any(not plugin.value.startswith("vllm.") for plugin in plugins):
        return True
    sources = _find("model_executor/layers/quantization").rglob("*.py")
    return any(f'"{method.lower().replace("_", "-")}"' in path.read_text().replace("_", "-") for path in sources)


def loads_names(architecture: str, names: Iterable[str]) -> bool:
    """vLLM puts the names of BertModel below its own, and those of a checkpoint of BertForMaskedLM stay below bert."""
    return architecture != "BertModel" or not any(name.startswith("bert.") for name in names)


def reads_checkpoint(arguments: dict[str, Any]) -> bool:
    """Whether the weights come from the model's own files, in the form in which transformers saves them."""
    return arguments.get("load_format", "auto") in CHECKPOINT_FORMATS


def config_overrides(arguments: dict[str, Any]) -> dict[str, Any]:
    """The keys of the model's config.json that the arguments replace."""
    overrides = arguments.get("hf_overrides")
    return overrides if isinstance(overrides, dict) else {}


def needs_weights(arguments: dict[str, Any]) -> bool:
    """Whether vLLM loads the model's weights, and does not make up random ones."""
    return arguments.get("load_format") != "dummy"


def scoring_arguments(arguments: dict[str, Any], exact: bool) -> dict[str, Any]:
    """The arguments that change a score: all of them if `exact`, since batch sizes and kernels move the last digits."""
    return {name: value for name, value in arguments.items() if name != "type" and (exact or name not in NEUTRAL)}


def loaded_dtype(arguments: dict[str, Any], stored: str) -> str:
    """The type of the loaded weights: with dtype=auto, half precision for float32, and otherwise the stored type."""
    dtype = str(arguments.get("dtype", "auto"))
    if dtype == "auto":
        return "half" if stored == "float32" else stored
    return dtype


def is_quantised(arguments: dict[str, Any]) -> bool:
    """Whether the arguments ask vLLM to quantise the weights."""
    return bool(arguments.get("quantization"))


def cached_bytes(arguments: dict[str, Any], number: int) -> int:
    """Bytes of one number in the key-value cache: 1 for the fp8 types, otherwise those of the loaded type."""
    return 1 if str(arguments.get("kv_cache_dtype", "auto")).startswith("fp8") else number


def build_engine(
    settings: Settings,
    arguments: dict[str, Any],
    request: Request,
    label_ids: list[int],
    stall_seconds: float,
    watchdog: Watchdog,
    deterministic: bool,
) -> Engine:
    """Loads the model into vLLM; see EngineFacts.build_engine."""
    from actors.engines.vllm.engine import Engine as VllmEngine

    arguments = {name: value for name, value in arguments.items() if name != "type"}
    return VllmEngine(settings, arguments, request, label_ids, stall_seconds, watchdog, deterministic)


@cache
def _default_tasks() -> list[tuple[str, Task]]:
    """Endings of architectures -> what such models do, as vLLM's source has it."""
    for node in _source("config/model.py"):
        if isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == "_SUFFIX_TO_DEFAULTS" and node.value:
            pairs = ast.literal_eval(node.value)
            return [(ending, runner if runner == "generate" else convert) for ending, (runner, convert) in pairs]
    return []


def _find_value(name: str, variable: str) -> ast.expr:
    """The value that vLLM's source file `name` gives a variable. Raises LookupError where it gives none."""
    for node in _source(name):
        target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
        if isinstance(target, ast.Name) and target.id == variable and (value := getattr(node, "value", None)):
            return value  # type: ignore[no-any-return]
    raise LookupError(f"vLLM's {name} has no {variable}")


@cache
def _source(name: str) -> list[ast.stmt]:
    """The statements of vLLM's source file `name`, a path below its package."""
    return ast.parse(_find(name).read_text()).body


def _find(name: str) -> Path:
    """A file or folder of vLLM's package."""
    spec = importlib.util.find_spec("vllm")
    assert spec and spec.origin, "checked by installed()"
    return Path(spec.origin).parent / name
