"""transformers as actors/engines/contract.py's EngineFacts: known without importing it, or torch, which takes seconds.

The arguments have vLLM's names where they mean the same.
"""

from collections.abc import Iterable
from functools import cache
from typing import Any

from actors.engines.contract import Engine, Watchdog
from actors.engines.transformers.arguments import config_overrides as config_overrides
from actors.engines.transformers.arguments import installed as installed
from actors.engines.transformers.arguments import loaded_dtype as loaded_dtype
from actors.rerankers.contract import Request, Task
from actors.rerankers.settings import Settings
from actors.rerankers.tokenizer import CONTEXT_KEYS

name = "transformers"
numbers_version = 1
RESERVED: tuple[str, ...] = ("model", "revision", "tokenizer", "trust_remote_code")
DTYPES = ("auto", "float32", "float", "bfloat16", "float16", "half")
COUNTS = ("max_model_len", "max_num_batched_tokens", "max_num_seqs", "kv_cache_memory_bytes")
POOLINGS = ("CLS", "MEAN", "LAST")
# Arguments that change how much is computed at once, but no more than the last digits of a score.
NEUTRAL = {"max_num_batched_tokens", "max_num_seqs", "kv_cache_memory_bytes"}
TASKS: tuple[tuple[str, Task], ...] = (
    ("ForCausalLM", "generate"),
    ("ForConditionalGeneration", "generate"),
    ("LMHeadModel", "generate"),
    ("ForSequenceClassification", "classify"),
    ("ForMaskedLM", "embed"),
    ("Model", "embed"),
)  # endings of architectures -> what such models do


def argument_names() -> set[str]:
    """The names of all arguments."""
    return {"dtype", *COUNTS, "hf_overrides", "attn_implementation", "pooler_config"}


def retired_architectures() -> dict[str, str]:
    """None are known."""
    return {}


def runs_architecture(architecture: str) -> bool:
    """Whether transformers has the architecture."""
    return architecture in _list_names()


@cache
def _list_names() -> frozenset[str]:
    import transformers  # imported here: it takes a second, and the list a third of one

    return frozenset(dir(transformers))


def read_task(architecture: str) -> Task | None:
    """The task of an architecture, by its name: generate, embed or classify; None where that does not say."""
    return next((task for ending, task in TASKS if architecture.endswith(ending)), None)


def converts(arguments: dict[str, Any]) -> bool:
    """A model does what its architecture does."""
    return False


def sets_pooling(arguments: dict[str, Any]) -> bool:
    """Whether the arguments say how hidden states become a vector."""
    return "pooler_config" in arguments


def embedding_modules() -> set[str]:
    """The modules that pooling.py reads, by the names that versions of sentence-transformers give them."""
    return {
        f"sentence_transformers.{place}.{name}"
        for name in ("Pooling", "Dense", "Normalize")
        for place in (
            "models",
            f"base.modules.{name.lower()}",
            f"sentence_transformer.modules.{name.lower()}",
        )
    }


def has_activation(name: str) -> bool:
    """Whether torch.nn has it."""
    import torch  # imported here: it takes seconds

    return hasattr(torch.nn, name.rpartition(".")[2])


def check_arguments(arguments: dict[str, Any], task: Task, reranker: str) -> None:
    """Raises ValueError for a value that is wrong."""
    dtype = arguments.get("dtype", "auto")
    if dtype not in DTYPES:
        raise ValueError(f"engine.dtype = {dtype!r}: should be one of {', '.join(DTYPES)}")
    for count in COUNTS:
        if count in arguments and (type(value := arguments[count]) is not int or value < 1):
            raise ValueError(f"engine.{count} = {value!r}: should be a whole number above 0")
    overrides = arguments.get("hf_overrides", {})
    if not isinstance(overrides, dict):
        raise ValueError(f"engine.hf_overrides = {overrides!r}: should be a mapping of keys of config.json")
    if "classifier_from_token" in overrides:
        raise ValueError(
            f"engine.hf_overrides.classifier_from_token = {overrides['classifier_from_token']!r}: engine.type = "
            "'transformers' makes no classifier of a language model; take vllm, or a reranker.type that reads labels"
        )
    attention = arguments.get("attn_implementation")
    if attention is not None and not isinstance(attention, str):
        raise ValueError(f"engine.attn_implementation = {attention!r}: should be a name, such as sdpa")
    pooler = arguments.get("pooler_config", {"pooling_type": "CLS"})
    if not isinstance(pooler, dict) or [*pooler] != ["pooling_type"] or pooler["pooling_type"] not in POOLINGS:
        raise ValueError(f"engine.pooler_config = {pooler!r}: should be {{pooling_type: {' or '.join(POOLINGS)}}}")


def count_ranks(arguments: dict[str, Any]) -> int:
    """One process, with one GPU."""
    return 1


def max_length(arguments: dict[str, Any]) -> Any:
    """The most tokens of a prompt and its answer that the arguments allow; None where they do not say."""
    return arguments.get("max_model_len")


def find_longest(config: dict[str, Any], saved: int | None) -> int | None:
    """The shortest length that the config declares: loading.py refuses more."""
    return min((config[key] for key in CONTEXT_KEYS if isinstance(config.get(key), int)), default=None)


def has_quantization(method: str) -> bool:
    """Whether transformers has it."""
    from transformers.quantizers.auto import AUTO_QUANTIZER_MAPPING  # imported here: it takes seconds

    return method in AUTO_QUANTIZER_MAPPING


def loads_names(architecture: str, names: Iterable[str]) -> bool:
    """Yes: transformers finds the parts of its models by their names."""
    return True


def needs_weights(arguments: dict[str, Any]) -> bool:
    """Always."""
    return True


def reads_checkpoint(arguments: dict[str, Any]) -> bool:
    """Always."""
    return True


def find_merge_obstacle(arguments: dict[str, Any]) -> str | None:
    """None: loading.py merges any adapter."""
    return None


def find_other_steps(config: dict[str, Any], biased: bool) -> list[str]:
    """None: the model's own code makes the labels' logits."""
    return []


def scoring_arguments(arguments: dict[str, Any], exact: bool) -> dict[str, Any]:
    """The arguments that change a score: all of them if `exact`, since batch sizes move the last digits."""
    return {key: value for key, value in arguments.items() if key != "type" and (exact or key not in NEUTRAL)}


def is_quantised(arguments: dict[str, Any]) -> bool:
    """No argument asks for quantised weights."""
    return False


def cached_bytes(arguments: dict[str, Any], number: int) -> int:
    """Keys and values are kept in the loaded type."""
    return number


def build_engine(
    settings: Settings,
    arguments: dict[str, Any],
    request: Request,
    label_ids: list[int],
    stall_seconds: float,
    watchdog: Watchdog,
    deterministic: bool,
) -> Engine:
    """Loads the model into transformers; see EngineFacts.build_engine."""
    from actors.engines.transformers.engine import Engine as TransformersEngine

    return TransformersEngine(settings, arguments, request, label_ids, stall_seconds, watchdog, deterministic)
