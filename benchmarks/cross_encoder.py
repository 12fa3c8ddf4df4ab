"""The cross-encoder beside sentence-transformers: python benchmarks/cross_encoder.py [--rows 2000 ...]

The same pairs, documents of 10 to 110 words, on a random BERT of the size of ms-marco-MiniLM-L6-v2:
  job      the whole pipeline in its steady state, after its first unit
  raw      vllm.LLM.encode given all prompts at once, tokenised beforehand
  library  sentence_transformers.CrossEncoder.predict of all pairs, which sorts them by length
Needs `pip install sentence-transformers`, which `make setup` brings.
"""

import argparse
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import pyarrow.parquet as pq

from actors.rerankers import RERANKERS
from actors.rerankers.contract import Pair
from actors.rerankers.cross_encoder import CrossEncoder
from actors.rerankers.tokenizer import Tokenizer
from benchmarks.job import run_job, steady
from benchmarks.rounds import Figures, Kinds, benchmark
from benchmarks.sizes import pairs, save_pairs
from tests import tiny

ENGINE: dict[str, Any] = {"dtype": "float32", "enforce_eager": True, "max_num_seqs": 256}


def build(options: argparse.Namespace, folder: Path) -> None:
    """Saves the model and the pairs."""
    from transformers import BertConfig, BertForSequenceClassification

    tiny.bert(folder / "model")  # for its tokenizer
    sizes: dict[str, Any] = {
        "hidden_size": 384,
        "num_hidden_layers": 6,
        "num_attention_heads": 12,
        "intermediate_size": 1536,
        "num_labels": 1,
    }
    BertForSequenceClassification(BertConfig(**sizes)).save_pretrained(folder / "model")
    columns = pairs(options.rows, 110)
    lengths = np.random.default_rng(1).integers(10, 111, options.rows)
    columns["doc"] = [" ".join(doc.split()[:most]) for doc, most in zip(columns["doc"], lengths, strict=True)]
    save_pairs(columns, folder / "pairs.parquet", options.unit_rows)


def settings(options: argparse.Namespace) -> dict[str, Any]:
    return {"type": "cross_encoder", "model": str(options.folder / "model")}


def texts(options: argparse.Namespace) -> list[tuple[str, str]]:
    return [(row["query"], row["doc"]) for row in pq.read_table(options.folder / "pairs.parquet").to_pylist()]


def job(options: argparse.Namespace) -> Figures:
    config = {
        "input": {"path": str(options.folder / "pairs.parquet")},
        "reranker": settings(options),
        "engine": ENGINE,
        "run": {"unit_rows": options.unit_rows},
    }
    units, _ = run_job(options.folder, config)
    return {"seconds": steady(units)}


def raw(options: argparse.Namespace) -> Figures:
    from vllm import LLM, PoolingParams

    model = CrossEncoder(**settings(options))
    made: list[Any] = RERANKERS["cross_encoder"].prompt(
        Tokenizer(model), model, [Pair(*pair) for pair in texts(options)]
    )
    given: list[Any] = [{"prompt_token_ids": prompt.sequences[0]} for prompt in made]
    params = [PoolingParams(extra_kwargs={"compressed_token_type_ids": prompt.boundary}) for prompt in made]
    llm = LLM(model=model.model, runner="pooling", disable_log_stats=True, **ENGINE)
    llm.encode(given[:8], params[:8], pooling_task="classify", use_tqdm=False)
    began = time.perf_counter()
    llm.encode(given, params, pooling_task="classify", use_tqdm=False)
    return {"seconds": time.perf_counter() - began}


def library(options: argparse.Namespace) -> Figures:
    from sentence_transformers import CrossEncoder as Library

    model = Library(str(options.folder / "model"), device="cpu")
    given: list[Any] = texts(options)
    model.predict(given[:8])
    began = time.perf_counter()
    model.predict(given, batch_size=options.batch, show_progress_bar=False)
    return {"seconds": time.perf_counter() - began}


KINDS: Kinds = {"job": job, "raw": raw, "library": library}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--unit-rows", type=int, default=250)
    parser.add_argument("--batch", type=int, default=32, help="rows of a batch of the library's")
    benchmark(parser, KINDS, build, rounds=5)


if __name__ == "__main__":
    main()
