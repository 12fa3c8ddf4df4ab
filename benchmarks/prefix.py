"""The saving by a shared beginning of the prompts: python benchmarks/prefix.py [--query-words 120 ...]

One-token scoring, a hundred documents a query, the query first:
  grouped    the rows of a query side by side in the input
  scattered  the same rows shuffled; a unit still puts those of one query together
  off        grouped, with vLLM's prefix caching off
The hit rate is the share of the prompts' tokens that came from the cache.
"""

import argparse
import sys
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np

from benchmarks.job import run_job, steady
from benchmarks.rounds import Figures, Kinds, benchmark
from benchmarks.sizes import ENGINE, ON_CPU, RERANKER, SIZES, pairs, save_model, save_pairs


def build(options: argparse.Namespace, folder: Path) -> None:
    size = SIZES[options.size]
    save_model(size, folder / "model")
    columns = pairs(options.rows, size.words, options.query_words)
    save_pairs(columns, folder / "grouped.parquet", options.unit_rows)
    shuffled = np.random.default_rng(1).permutation(options.rows)
    scattered = {name: [column[i] for i in shuffled] for name, column in columns.items()}
    save_pairs(scattered, folder / "scattered.parquet", options.unit_rows)


def job(options: argparse.Namespace, pairs: str, caching: bool) -> Figures:
    engine = ENGINE | ON_CPU | {"enable_prefix_caching": caching, "block_size": options.block_size}
    config = {
        "input": {"path": str(options.folder / f"{pairs}.parquet")},
        "reranker": RERANKER | {"model": str(options.folder / "model")},
        "engine": engine | {"kv_cache_memory_bytes": options.cache_mib * 2**20},
        "run": {"unit_rows": options.unit_rows},
    }
    units, figures = run_job(options.folder, config)
    return {"seconds": steady(units), "hit rate": figures["cached_tokens"] / figures["prompt_tokens"]}


KINDS: Kinds = {
    "grouped": partial(job, pairs="grouped", caching=True),
    "scattered": partial(job, pairs="scattered", caching=True),
    "off": partial(job, pairs="grouped", caching=False),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", choices=SIZES, default="small")
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--query-words", type=int, default=120)
    parser.add_argument("--unit-rows", type=int, default=250)
    parser.add_argument("--block-size", type=int, default=32, help="tokens; only whole blocks are shared")
    parser.add_argument("--cache-mib", type=int, default=512, help="the engine's cache of keys and values")
    benchmark(parser, KINDS, build, rounds=3)


if __name__ == "__main__":
    main()
