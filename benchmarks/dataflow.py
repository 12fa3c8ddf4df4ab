"""The dataflow alone, with a scorer that costs nothing: python benchmarks/dataflow.py [--rows 3000000 ...]

Narrow rows (a query and a document of one word each) are read, prompted, sent to actors that hold no engine, put,
fused and ranked. It shows how fast the engines could be before the pipeline holds them up, on all cores of this
machine: from the first unit that is done to the last.
  free  every prompt is the same few tokens, made in no time
  job   with the tokenizer at work
With --rows 20000000 it shows that the memory of actors does not grow with rows, and what the driver takes.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.job import own_memory, run_job, steady
from benchmarks.rounds import Figures, Kinds, benchmark
from benchmarks.sizes import NO_ENGINE, RERANKER, save_tokenizer
from pipeline.input.listing import InputFile
from tests.fakes import FreeScorer

TOKENS = 8  # of a prompt made in no time; about what the tokenizer makes of two words


def build(options: argparse.Namespace, folder: Path) -> None:
    """Saves a tokenizer with the config of a model, and the pairs in eight files."""
    save_tokenizer(folder / "model")
    (folder / "pairs").mkdir()
    for i, part in enumerate(np.array_split(np.arange(options.rows), 8)):
        words = pa.array(part).cast(pa.string())
        queries = pa.array(part // 100).cast(pa.string())
        table = {"query_id": queries, "query": queries, "doc_id": words, "doc": words, "score": part.astype(float)}
        pq.write_table(pa.table(table), folder / "pairs" / f"{i}.parquet", row_group_size=100_000)


def job(options: argparse.Namespace) -> Figures:
    config = {
        "input": {"path": str(options.folder / "pairs")},
        "reranker": RERANKER | {"model": str(options.folder / "model"), "prompt": "{query} {doc}"},
        "engine": NO_ENGINE,
        "workers": {"count": options.actors},
        "run": {"unit_rows": options.unit_rows},
    }
    units, figures = run_job(options.folder, config, FreeScorer)
    assert figures["ranked"] == options.rows, figures
    steps = {f"{step} s": seconds for step, seconds in figures["seconds"].items()}
    tenth = max(1, len(units) // 10)
    memory = {
        "actor MiB, first tenth": max(unit.resident for unit in units[:tenth]) / 2**20,
        "actor MiB, last tenth": max(unit.resident for unit in units[-tenth:]) / 2**20,
        "driver MiB": own_memory() / 2**20,
    }
    return {"seconds": steady(units), "spilled bytes": figures["spilled_bytes"]} | memory | steps


def free(options: argparse.Namespace) -> Figures:
    start_without_tokenizer()
    return job(options)


def start_without_tokenizer() -> None:
    """A local Ray whose tokenising tasks make prompts in no time."""
    import ray

    ray.init(
        "local",
        include_dashboard=False,
        log_to_driver=False,
        runtime_env={
            "worker_process_setup_hook": "benchmarks.dataflow.without_tokenizer",
            "env_vars": {"PYTHONPATH": str(Path(__file__).resolve().parent.parent)},
        },
    )


def without_tokenizer() -> None:
    """Called when a process of Ray's starts: no tokenizer is loaded, and prompts are those of `make_constant`."""
    import pipeline.score.stream as score

    score.load_tokenizer_patiently = load_nothing  # type: ignore[assignment]
    score.prompt_unit = make_constant


def load_nothing(settings: Any, limit: Any) -> None:
    """In the place of pipeline.check.hub.load_tokenizer_patiently."""


def make_constant(name: str, file: InputFile, unit: pa.Table, tokenizer: Any, settings: Any) -> pa.Table:
    """In the place of pipeline.score.prompt.prompt_unit."""
    from pipeline.score.prompt import TRAVELS, add_hashes, pack_unit

    rows = len(unit)
    tokens = pa.ListArray.from_arrays(
        np.arange(rows + 1, dtype=np.int32) * TOKENS, pa.array(np.zeros(rows * TOKENS, dtype=np.int32))
    )
    sequences = pa.ListArray.from_arrays(np.arange(rows + 1, dtype=np.int32), tokens)
    made = add_hashes(unit).select(TRAVELS[:-1])
    made = made.append_column("truncated", pa.array(np.zeros(rows, dtype=bool)))
    made = made.append_column("prompts", sequences)
    one_passage = pa.ListArray.from_arrays(np.arange(rows + 1, dtype=np.int32), pa.nulls(rows, pa.int32()))
    return pack_unit(name, made.append_column("boundaries", one_passage), file)


KINDS: Kinds = {"free": free, "job": job}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=3_000_000)
    parser.add_argument("--actors", type=int, default=1, help="they take no CPU of Ray's")
    parser.add_argument("--unit-rows", type=int, default=8192)
    benchmark(parser, KINDS, build, rounds=3)


if __name__ == "__main__":
    main()
