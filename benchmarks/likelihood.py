"""Query likelihood (RankingGPT) against its ceiling: python benchmarks/likelihood.py [--rows 400 ...]

The same random prompts, on a random BLOOM of RankingGPT's vocabulary; everything is timed with the engine loaded:
  ours          the job's engine: the head on the rows that predict the query alone
  prefill       vllm.LLM.encode of the same prompts, which needs no head at all
  head          the head's matrix product on the query's rows alone, in torch, as many rows at a time as `ours` has
  vllm          vllm.LLM.generate with prompt_logprobs=0: the head on every row
  transformers  as in the model card: one forward pass a pair, the head on every row
The ceiling is prefill and head together. The ratios are of the medians of one run on one machine.
"""

import argparse
import queue
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np

from actors.engines.vllm.engine import Engine, EngineRequest
from actors.rerankers.contract import Request
from actors.rerankers.rankinggpt import RankingGPT
from actors.worker.watchdog import Watchdog
from benchmarks.rounds import Figures, Kinds, benchmark
from tests import tiny

ENGINE: dict[str, Any] = {
    "dtype": "float32",
    "enforce_eager": True,
    "max_model_len": 1024,
    "max_num_seqs": 64,
    "max_num_batched_tokens": 2048,
    "kv_cache_memory_bytes": 2**30,
    "enable_prefix_caching": False,
}


def build(options: argparse.Namespace, folder: Path) -> None:
    """Saves the random model."""
    from transformers import BloomConfig, BloomForCausalLM

    config = BloomConfig(
        vocab_size=options.vocabulary, hidden_size=options.hidden, n_layer=options.layers, n_head=options.hidden // 64
    )
    BloomForCausalLM(config).save_pretrained(folder)
    tiny.rank1_qwen2_tokenizer().save_pretrained(folder)  # LLM will have one; none is used


def prompts(options: argparse.Namespace) -> list[list[int]]:
    rng = np.random.default_rng(0)
    return rng.integers(5, options.vocabulary, (options.rows, options.doc + options.query)).tolist()


def ours(options: argparse.Namespace) -> Figures:
    settings = RankingGPT(type="rankinggpt", model=str(options.folder))
    engine = Engine(settings, ENGINE, Request("likelihood"), [], 1800, watchdog=Watchdog())
    replies: queue.SimpleQueue = queue.SimpleQueue()

    def score(sequences: list[list[int]]) -> None:
        engine.ask([EngineRequest(i, tokens, options.doc, 1) for i, tokens in enumerate(sequences)], replies.put)
        left = len(sequences)
        while left:
            left -= len(replies.get())

    return _timed(score, prompts(options))


def prefill(options: argparse.Namespace) -> Figures:
    from vllm import LLM, PoolingParams

    llm = LLM(model=str(options.folder), runner="pooling", convert="embed", disable_log_stats=True, **ENGINE)
    return _timed(
        lambda some: llm.encode(_given(some), PoolingParams(), pooling_task="embed", use_tqdm=False), prompts(options)
    )


def head(options: argparse.Namespace) -> Figures:
    import torch

    at_once = ENGINE["max_num_batched_tokens"] // (options.doc + options.query) * options.query
    weight, rows = torch.randn(options.vocabulary, options.hidden), torch.randn(at_once, options.hidden)

    def multiply(some: list[list[int]]) -> None:
        with torch.inference_mode():
            for _ in range(-(-len(some) * options.query // at_once)):
                torch.nn.functional.linear(rows, weight)

    return _timed(multiply, prompts(options))


def vllm(options: argparse.Namespace) -> Figures:
    from vllm import LLM, SamplingParams

    llm = LLM(model=str(options.folder), disable_log_stats=True, **ENGINE)
    params = SamplingParams(temperature=0, max_tokens=1, prompt_logprobs=0, detokenize=False)
    return _timed(lambda some: llm.generate(_given(some), params, use_tqdm=False), prompts(options))


def transformers(options: argparse.Namespace) -> Figures:
    import torch
    from transformers import AutoModelForCausalLM

    model: Any = AutoModelForCausalLM.from_pretrained(options.folder, dtype=torch.float32).eval()

    def score(some: list[list[int]]) -> None:
        with torch.inference_mode():
            for tokens in some:
                ids = torch.tensor([tokens])
                labels = ids.clone()
                labels[:, : options.doc] = -100
                model(input_ids=ids, labels=labels).loss.item()

    return _timed(score, prompts(options))


def _given(some: list[list[int]]) -> list[Any]:
    return [{"prompt_token_ids": tokens} for tokens in some]


def _timed(score: Any, rows: list[list[int]]) -> Figures:
    score(rows[:8])
    began = time.perf_counter()
    score(rows)
    return {"seconds": time.perf_counter() - began}


KINDS: Kinds = {"ours": ours, "prefill": prefill, "head": head, "vllm": vllm, "transformers": transformers}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=400)
    parser.add_argument("--doc", type=int, default=100, help="tokens of a document")
    parser.add_argument("--query", type=int, default=12, help="tokens of a query")
    parser.add_argument("--hidden", type=int, default=256)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--vocabulary", type=int, default=250_880)
    medians = benchmark(parser, KINDS, build, rounds=5)
    if {"ours", "prefill", "head"} <= set(medians):
        seconds = {kind: figures["seconds"] for kind, figures in medians.items()}
        print(f"ours against the ceiling: {(seconds['prefill'] + seconds['head']) / seconds['ours']:.2f}")


if __name__ == "__main__":
    main()
