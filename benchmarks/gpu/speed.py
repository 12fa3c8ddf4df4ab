"""The job against vLLM alone and against the card's own rate: the kinds of benchmarks/throughput.py, at true sizes."""

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from actors.engines.vllm.engine import ENVIRONMENT
from actors.rerankers import RERANKERS
from actors.rerankers.label import Label
from actors.rerankers.tokenizer import Tokenizer
from benchmarks import throughput
from benchmarks.gpu.card import watch_card
from benchmarks.gpu.engines import Machine
from benchmarks.job import run_job, steady
from benchmarks.rounds import Figures


def raw(options: argparse.Namespace) -> Figures:
    """vllm.LLM.generate, timed in its second pass: the `first` one also compiles and loads kernels, which the job
    does before its steady state."""
    from vllm import LLM, SamplingParams

    given: list[Any] = [{"prompt_token_ids": tokens} for tokens in throughput.prompts(options)]
    settings = Label(**throughput.settings(options))
    ids = Tokenizer(settings).label_ids(RERANKERS["label"].request(settings).labels)
    params = SamplingParams(temperature=0, max_tokens=1, logprob_token_ids=ids, detokenize=False)
    llm = LLM(model=settings.model, disable_log_stats=True, **throughput.engine(options))
    seconds = []
    for _ in range(2):
        llm.reset_prefix_cache()
        began = time.perf_counter()
        llm.generate(given, params, use_tqdm=False)
        seconds.append(time.perf_counter() - began)
    return {"seconds": seconds[1], "first": seconds[0]}


def likelihood(options: argparse.Namespace) -> Figures:
    """The job with query likelihood in the place of labels: the same model and pairs."""
    config = {
        "input": {"path": str(options.folder / "pairs.parquet")},
        "reranker": {"type": "rankinggpt", "model": throughput.settings(options)["model"]},
        "engine": throughput.engine(options),
        "run": {"unit_rows": options.unit_rows},
    }
    units, figures = run_job(options.folder, config)
    seconds = steady(units)
    return {"seconds": seconds, "tokens/s": figures["prompt_tokens"] / seconds}


KINDS: dict[str, Callable[[argparse.Namespace], Figures]] = {
    "limit": throughput.limit,
    "raw": raw,
    "job": throughput.job,
    "deterministic": throughput.KINDS["same"],
    "likelihood": likelihood,
    "head": throughput.KINDS["head"],
    "batches": throughput.batches,
}
MEASURES = {f"{size}-{kind}": (size, kind) for size in ("0.5B", "4B", "7B", "small", "overhead") for kind in KINDS}
DEFAULT = [f"{size}-{kind}" for size in ("0.5B", "4B") for kind in ("limit", "raw", "job")]
DEFAULT += [f"0.5B-{kind}" for kind in ("deterministic", "likelihood", "head", "batches")]
DEFAULT += [f"7B-{kind}" for kind in ("limit", "raw", "job")]
TINY = [f"overhead-{kind}" for kind in ("limit", "raw", "job")]


def measure(name: str, machine: Machine) -> dict[str, Any]:
    """Runs one kind at one size. Returns its figures, and the card's meanwhile."""
    os.environ.update(ENVIRONMENT)
    size, kind = MEASURES[name]
    gpu = machine.device == "cuda"
    rows, unit_rows = (1000, 250) if machine.tiny else (None, 500)
    folder = Path(tempfile.mkdtemp(prefix="speed-"))
    options = argparse.Namespace(size=size, rows=rows, unit_rows=unit_rows, batch=500, gpu=gpu, folder=folder)
    throughput.build(options, folder)
    with watch_card(gpu) as card:
        figures = KINDS[kind](options)
    figures["pairs/s"] = options.rows / figures["seconds"]
    return {"ok": figures["seconds"] > 0} | {name: float(f"{value:.5g}") for name, value in figures.items()} | card


def compare_speed(name: str, seconds: dict[str, float]) -> dict[str, float]:
    """The speed of one measure in relation to raw, limit and job of its size: 1 is as fast.

    seconds: those of each measure so far, this one included.
    """
    size, kind = MEASURES[name]
    return {
        f"{kind}_against_{other}": round(seconds[f"{size}-{other}"] / seconds[name], 3)
        for other in ("raw", "limit", "job")
        if other != kind and kind != "limit" and f"{size}-{other}" in seconds
    }
