"""Scores of the actor against those of transformers on the same device: in the same dtype, and in float32."""

import asyncio
import os
import time
from typing import Any, NamedTuple

import numpy as np

from actors.engines.vllm.engine import ENVIRONMENT
from benchmarks.gpu.engines import (
    Machine,
    build_scorer,
    describe_engine,
    engine_arguments,
    keep_vllm_engines,
    make_prompts,
    make_settings,
)
from benchmarks.sizes import RERANKER

CACHED: dict[str, Any] = {"enable_prefix_caching": True}
# 48 tokens a step: a prompt is computed in several steps, among chunks of others.
CHUNKED: dict[str, Any] = {"enable_prefix_caching": False, "max_num_batched_tokens": 48, "max_num_seqs": 16}
COMPILED = CACHED | {"enforce_eager": False}
SHORT = CACHED | {"max_model_len": 2048}
SIZED = CACHED | {"kv_cache_memory_bytes": 2**30}
PAIR = {"max_model_len": 400}  # tests/actors/rerankers/test_cross_encoder.py's
TRITON = {"attention_backend": "TRITON_ATTN"}
QWEN3 = {"max_length": 400}
LABEL = {name: value for name, value in RERANKER.items() if name != "type"}
NOTHING: dict[str, Any] = {}
V1 = {"VLLM_USE_V2_MODEL_RUNNER": "0"}


class Case(NamedTuple):
    """kind: the reranker's type. model: a name of models.py. engine, keys: more keys of the sections `engine` and
    `reranker`. environment: variables that are set before vLLM starts."""

    kind: str
    model: str
    dtype: str
    engine: dict[str, Any] = CACHED
    keys: dict[str, Any] = NOTHING
    environment: dict[str, str] = NOTHING


CASES = {
    "lb-fp32": Case("lb", "qwen2", "float32"),
    "lb-bf16": Case("lb", "qwen2", "bfloat16"),
    "rankinggpt-llama2-fp32": Case("rankinggpt", "llama2", "float32"),
    "rankinggpt-llama2-bf16": Case("rankinggpt", "llama2", "bfloat16"),
    "qwen3-fp32": Case("qwen3", "qwen3", "float32", keys=QWEN3),
    "qwen3-bf16": Case("qwen3", "qwen3", "bfloat16", keys=QWEN3),
    "rankinggpt-bloom64-fp16": Case("rankinggpt", "bloom64", "float16", SHORT),
    "rankinggpt-bloom-fp32": Case("rankinggpt", "bloom", "float32", SHORT),
    "rankinggpt-bloom-fp16-triton": Case("rankinggpt", "bloom", "float16", SHORT | TRITON),
    "lb-bf16-compiled": Case("lb", "qwen2", "bfloat16", COMPILED),
    "rankinggpt-llama2-bf16-compiled": Case("rankinggpt", "llama2", "bfloat16", COMPILED),
    "lb-fp32-chunked": Case("lb", "qwen2", "float32", CHUNKED),
    "rankinggpt-llama2-fp32-chunked": Case("rankinggpt", "llama2", "float32", CHUNKED),
    "rankinggpt-llama2-fp32-v1": Case("rankinggpt", "llama2", "float32", environment=V1),
    "lb-fp32-head": Case("lb", "qwen2", "float32", keys={"scoring": "head", "score": "normalised"}),
    "cross_encoder-bert-fp32": Case("cross_encoder", "bert", "float32", PAIR),
    "cross_encoder-xlmr-fp16": Case("cross_encoder", "xlm_roberta", "float16", PAIR),
    "bge_gemma-bf16": Case("bge_gemma", "gemma", "bfloat16", keys={"max_length": 200}),
    "label-overhead-bf16": Case("label", "overhead", "bfloat16", SIZED, LABEL),
    "label-0.5B-bf16": Case("label", "0.5B", "bfloat16", SIZED, LABEL),
    "label-4B-bf16": Case("label", "4B", "bfloat16", SIZED, LABEL),
    "label-7B-bf16": Case("label", "7B", "bfloat16", SIZED, LABEL),
}


def compare_scores(name: str, machine: Machine) -> dict[str, Any]:
    """One case: how far the actor's scores are from transformers'."""
    case = CASES[name]
    os.environ.update(ENVIRONMENT | case.environment)
    import torch

    from benchmarks.gpu.references import REFERENCES
    from tests.parity import FLOAT32, PAIRS

    settings = make_settings(case.kind, case.model, machine, **case.keys)
    arguments = engine_arguments(machine, **FLOAT32 | case.engine | {"dtype": case.dtype})
    prompts = make_prompts(settings, arguments, PAIRS)
    began = time.monotonic()
    with keep_vllm_engines() as engines:
        scorer = build_scorer(settings, arguments, machine)
    built = time.monotonic()
    result = asyncio.run(scorer.score_prompts(prompts.made))
    seconds = time.monotonic() - built
    ours = np.array([score if isinstance(score, float) else np.nan for score in result.scores])

    def compute_theirs(dtype: str) -> np.ndarray:
        expected = REFERENCES[case.kind]
        return expected(settings.model, getattr(torch, dtype), machine.device, case.keys)[prompts.there]

    figures = {
        "start_s": round(built - began, 1),
        "score_s": round(seconds, 2),
        "cached_share": round(result.figures["cached_tokens"] / result.figures["prompt_tokens"], 3),
    }
    exact = compute_theirs("float32")
    theirs = exact if case.dtype == "float32" else compute_theirs(case.dtype)
    facts = judge(ours, theirs, exact, half=case.dtype != "float32", pairs=len(PAIRS))
    return facts | {"dtype": case.dtype} | figures | describe_engine(engines[0])


def judge(ours: np.ndarray, theirs: np.ndarray, exact: np.ndarray, half: bool, pairs: int) -> dict[str, Any]:
    """The facts about our scores by the rules of tests/parity.py and tests/actors/rerankers/test_half_precision.py.

    ours, theirs: in the case's dtype; nan where there is no score. exact: by transformers in float32. half: the dtype
    is a half-precision one. pairs: how many there were to score.
    """
    from tests.parity import RTOL

    there = ~np.isnan(ours)
    ours, theirs, exact = ours[there], theirs[there], exact[there]
    facts: dict[str, Any] = {"pairs": pairs, "scored": len(ours)}
    if len(ours) < 0.95 * pairs:
        return {"ok": False} | facts
    facts |= {
        "spread": float(exact.std()),
        "ours_to_transformers": describe_error(ours, theirs),
    }
    spread = len(np.unique(ours.round(6))) > pairs / 4
    if half:
        facts |= {"ours_to_fp32": describe_error(ours, exact), "transformers_to_fp32": describe_error(theirs, exact)}
        own, usual = (np.quantile(np.abs(scores - exact), [0.5, 0.9, 1]) for scores in (ours, theirs))
        facts["no_further_than_transformers"] = bool((own <= np.array([1.5, 1.5, 2]) * usual).all())
        facts["rounding_is_small"] = bool(usual[1] < exact.std() / 10)
        within = facts["no_further_than_transformers"] and facts["rounding_is_small"]
    else:
        within = facts["within_1e-3"] = bool(np.allclose(ours, theirs, rtol=RTOL, atol=1e-5))
    return {"ok": bool(spread and within)} | facts


def describe_error(scores: np.ndarray, others: np.ndarray) -> dict[str, float]:
    """How far scores are from others: the most and the median, and the most relative to the others."""
    off = np.abs(scores - others)
    relative = off / np.maximum(np.abs(others), 1e-9)
    return {"max": float(off.max()), "median": float(np.median(off)), "max_rel": float(relative.max())}


def generate(name: str, machine: Machine) -> dict[str, Any]:
    """rank1 on a random model: generations and the readings that follow them give scores that differ."""
    os.environ.update(ENVIRONMENT)
    from tests.parity import FLOAT32, SOME_PAIRS

    settings = make_settings("rank1", "rank1_qwen2", machine, max_new_tokens=16 if machine.tiny else 64)
    dtype = "float32" if machine.device == "cpu" else "bfloat16"
    arguments = engine_arguments(machine, **FLOAT32 | CACHED | {"dtype": dtype})
    prompts = make_prompts(settings, arguments, SOME_PAIRS)
    with keep_vllm_engines() as engines:
        scorer = build_scorer(settings, arguments, machine)
    began = time.monotonic()
    result = asyncio.run(scorer.score_prompts(prompts.made))
    scores = [score for score in result.scores if isinstance(score, float)]
    distinct = len({round(score, 6) for score in scores})
    return {
        "ok": len(scores) >= 0.95 * len(SOME_PAIRS) and distinct > len(SOME_PAIRS) / 4,
        "pairs": len(SOME_PAIRS),
        "scored": len(scores),
        "distinct": distinct,
        "new_tokens": result.figures["new_tokens"],
        "score_s": round(time.monotonic() - began, 2),
    } | describe_engine(engines[0])
