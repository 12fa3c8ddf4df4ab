"""The arguments that vLLM's engine is built with: those of the config, and those that the kind of request needs."""

import math
from typing import Any

from actors.engines.vllm.models import register
from actors.engines.vllm.version import installed
from actors.rerankers.contract import Request
from actors.rerankers.pretrained import load_pretrained
from actors.rerankers.settings import Settings

CPU_CACHE_BYTES = 2**30  # about 80,000 tokens of a 0.5B model; engine.kv_cache_memory_bytes overrides it
PARALLEL = ("tensor_parallel_size", "pipeline_parallel_size", "prefill_context_parallel_size")
ABSOLUTE = {"position_embedding_type": "absolute"}
# One-token follow-ups are sent to vLLM in groups, because a step with a single one of them computes probabilities for
# the whole batch. A group is this share of the sequences that run at once, and its places are reserved.
FOLLOW_UP_SHARE = 1 / 8


def engine_arguments(
    settings: Settings, arguments: dict[str, Any], request: Request, label_ids: list[int], one_by_one: bool
) -> dict[str, Any]:
    """The keyword arguments of vLLM's EngineArgs. Also registers our own models for the model's architectures.

    arguments: the `engine` section of the config.
    label_ids: the tokens of request.labels.
    one_by_one: compute one sequence at a time, without the prefix cache.
    """
    from transformers import PretrainedConfig

    declared, _ = PretrainedConfig.get_config_dict(settings.model, revision=settings.revision)
    names = declared.get("architectures") or []
    register(names, request.task == "likelihood")
    defaults: dict[str, Any] = {
        "disable_log_stats": False,  # statistics.py; they cost less than can be measured
        "runner": "generate" if request.task == "generate" else "pooling",
    }
    if request.max_tokens > 1:
        defaults["scheduling_policy"] = "priority"
        if seqs := arguments.get("max_num_seqs"):
            arguments = arguments | {"max_num_seqs": math.ceil(seqs / (1 - FOLLOW_UP_SHARE))}
    if request.logits:
        defaults["logprobs_mode"] = "raw_logits"
    if request.task == "classify" and label_ids:
        arguments = arguments | {"convert": "classify", "hf_overrides": _label_head(settings, label_ids, arguments)}
    if request.task == "likelihood":  # compute the head in the model's own type, as the authors do
        arguments = arguments | {"hf_overrides": {"head_dtype": "model"} | arguments.get("hf_overrides", {})}
    if "XLMRobertaModel" in names and not declared.keys() & ABSOLUTE.keys():  # which transformers 5 no longer saves
        arguments = arguments | {"hf_overrides": ABSOLUTE | arguments.get("hf_overrides", {})}
    if installed().cpu:  # vLLM's default is nine tenths of the machine's memory, and it fails where that is not free
        defaults["kv_cache_memory_bytes"] = CPU_CACHE_BYTES
        if request.max_tokens > 1:  # with vLLM's 128, each follow-up would compute up to 127 tokens again
            defaults["block_size"] = 32
    if one_by_one:
        arguments = arguments | {"max_num_seqs": 1, "enable_prefix_caching": False}
    return {
        "model": settings.model,
        "revision": settings.revision,
        "tokenizer_revision": settings.revision,
        "trust_remote_code": settings.trust_remote_code,
        **(defaults | arguments),
    }


def count_ranks(arguments: dict[str, Any]) -> int:
    """The number of processes of one engine, one for each GPU: the product of all kinds of parallelism."""
    return math.prod(arguments.get(name, 1) for name in PARALLEL)


def find_merge_obstacle(arguments: dict[str, Any]) -> str | None:
    """Other processes, and other ways to load, do without loading.py."""
    parallel = [name for name in PARALLEL if arguments.get(name, 1) != 1]
    other = ["load_format"] * (arguments.get("load_format", "auto") != "auto")
    return next((f"engine.{name} = {arguments[name]!r}" for name in [*parallel, *other]), None)


def _label_head(settings: Settings, label_ids: list[int], arguments: dict[str, Any]) -> dict[str, Any]:
    """The `hf_overrides` with which vLLM makes a classifier of the labels' rows of the model's head."""
    tokenizer = load_pretrained(settings)
    pieces = tokenizer.convert_ids_to_tokens(label_ids)
    if tokenizer.convert_tokens_to_ids(pieces) != label_ids:  # vLLM takes the tokens by name, and looks their ids up
        raise ValueError(f"reranker.scoring = 'head': {settings.model} has two tokens of one name among {pieces}")
    head = {"method": "no_post_processing", "classifier_from_token": pieces, "num_labels": len(pieces)}
    return arguments.get("hf_overrides", {}) | head
