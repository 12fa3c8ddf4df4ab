"""Carried columns of a result of many parts: python benchmarks/carry.py [--rows 1000000 ...]

Pairs whose queries are scattered over the input, a scorer that costs nothing, prompts made in no time, and a result
with the documents:
  gathered  the job: rows that are kept are read once, and put part by part
  each      every part fetches its own rows from the input
`seconds` is the step from the scores to the last part.
"""

import argparse
import sys
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.dataflow import start_without_tokenizer
from benchmarks.job import run_job
from benchmarks.rounds import Figures, Kinds, benchmark
from benchmarks.sizes import NO_ENGINE, RERANKER, save_tokenizer
from pipeline.sizes import Sizes
from tests.fakes import FreeScorer

FILES, GROUP_ROWS, A_QUERY = 8, 25_000, 100


def build(options: argparse.Namespace, folder: Path) -> None:
    """Saves a tokenizer with the config of a model, and the pairs."""
    save_tokenizer(folder / "model")
    (folder / "pairs").mkdir()
    random = np.random.default_rng(1)
    order = random.permutation(options.rows)
    for i, part in enumerate(np.array_split(order, FILES)):
        noise = random.integers(32, 127, (len(part), options.bytes), dtype=np.uint8)
        columns = {
            "query_id": pa.array(part // A_QUERY).cast(pa.string()),
            "query": pa.array(part // A_QUERY).cast(pa.string()),
            "doc_id": pa.array(part).cast(pa.string()),
            "doc": pa.array(noise.view(f"S{options.bytes}").ravel(), pa.binary()).cast(pa.string()),
            "score": pa.array(random.random(len(part))),
        }
        pq.write_table(pa.table(columns), folder / "pairs" / f"{i}.parquet", row_group_size=GROUP_ROWS)


def job(options: argparse.Namespace, sizes: Sizes) -> Figures:
    start_without_tokenizer()
    config = {
        "input": {"path": str(options.folder / "pairs")},
        "reranker": RERANKER | {"model": str(options.folder / "model"), "prompt": "{query} {doc}"},
        "engine": NO_ENGINE,
        "run": {"unit_rows": 25_000},
    }
    output = {"columns": ["doc"]} | ({"top_k": options.top_k} if options.top_k else {})
    _, figures = run_job(options.folder, config, FreeScorer, output, sizes)
    return {"seconds": figures["seconds"]["fuse"], "ranked": figures["ranked"]}


KINDS: Kinds = {"gathered": partial(job, sizes=Sizes()), "each": partial(job, sizes=Sizes(fetching_buckets=2**62))}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--bytes", type=int, default=500, help="of a document")
    parser.add_argument("--top-k", type=int, help="rows kept of each query's hundred")
    benchmark(parser, KINDS, build, rounds=3)


if __name__ == "__main__":
    main()
