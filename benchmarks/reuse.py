"""Taking scores over by the hash of texts (run.reuse): python benchmarks/reuse.py [--rows 1000000]

Narrow rows, all of them scored by an earlier run, and now in another order and in other files.
  read   reads and hashes them, on all cores, and nothing else
  reuse  the step `reuse` of a run: what is known is read, sorted and looked up, and the score files are put.
         stored: the most bytes in the node's object store, a row; worker: the largest process of Ray's, without these
"""

import argparse
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from ray._private.internal_api import get_memory_info_reply, get_state_from_address

from benchmarks.job import find_largest_worker, run_job
from benchmarks.rounds import Figures, Kinds, benchmark
from benchmarks.sizes import NO_ENGINE, RERANKER, save_tokenizer
from pipeline.config import Config, parse
from pipeline.input.footers import read_first_file
from pipeline.input.listing import list_inputs
from pipeline.plan.splits import cut_splits
from pipeline.plan.units import Coverage
from pipeline.plan.work import Work, select_work
from pipeline.score.prompt import add_hashes
from pipeline.score.read import read_units
from tests.fakes import FreeScorer


def build(options: argparse.Namespace, folder: Path) -> None:
    """Saves a tokenizer with the config of a model, and the pairs twice; the first ones are scored."""
    save_tokenizer(folder / "model")
    rows = np.arange(options.rows)
    write(folder / "yesterday", rows, 8)
    write(folder / "today", np.random.default_rng(0).permutation(rows), 5)
    run_job(folder, make_config(folder, "yesterday"), FreeScorer)


def write(folder: Path, rows: np.ndarray, files: int) -> None:
    folder.mkdir()
    for i, part in enumerate(np.array_split(rows, files)):
        words, queries = (pa.array(numbers).cast(pa.string()) for numbers in (part, part // 100))
        table = {"query_id": queries, "query": queries, "doc_id": words, "doc": words, "score": part.astype(float)}
        pq.write_table(pa.table(table), folder / f"{i}.parquet", row_group_size=100_000)


def make_config(folder: Path, name: str, **run: object) -> dict:
    return {
        "input": {"path": str(folder / name)},
        "reranker": RERANKER | {"model": str(folder / "model"), "prompt": "{query} {doc}"},
        "engine": NO_ENGINE,
        "run": run,
    }


@dataclass(frozen=True)
class Read:
    """The task of reading and hashing the rows of a task's work."""

    work: Work
    config: Config

    def __call__(self, task: int) -> int:
        return sum(len(add_hashes(pairs)) for pairs in self._read(task))

    def _read(self, task: int) -> Iterator[pa.Table]:
        for part in self.work.read_parts(task):
            for split in cut_splits(part, self.config, self.work.first):
                for _, pairs in read_units(split, self.work.first.columns):
                    yield pairs


def read(options: argparse.Namespace) -> Figures:
    from pipeline.cluster.connect import connect_for_run

    config = parse(make_config(options.folder, "today") | {"output": {"path": str(options.folder / "none")}})
    files = list_inputs(config.input.path)
    work = select_work(config, read_first_file(config, files), files, Coverage())
    with connect_for_run(config) as cluster:
        began = time.perf_counter()
        assert sum(cluster.run(Read(work, config), range(work.tasks))) == options.rows
        return {"seconds": time.perf_counter() - began}


def reuse(options: argparse.Namespace) -> Figures:
    earlier = min(options.folder.glob("*/out"), key=lambda path: path.stat().st_ctime)
    peaks, done = Peaks(), threading.Event()
    watcher = threading.Thread(target=peaks.watch, args=(done,))
    watcher.start()
    _, figures = run_job(options.folder, make_config(options.folder, "today", reuse=[str(earlier)]), FreeScorer)
    done.set()
    watcher.join()
    assert (figures["reused"], figures["scored_now"]) == (options.rows, 0), figures
    seconds = figures["seconds"]["reuse"]
    return {"seconds": seconds, "stored": peaks.stored / options.rows, "worker MB": peaks.worker / 1e6}


class Peaks:
    """The most bytes in the object store of this node, and of one process of Ray's without those pages."""

    stored = worker = 0

    def watch(self, done: threading.Event) -> None:
        import ray

        while not done.wait(0.2):
            if ray.is_initialized():
                state = get_state_from_address(ray.get_runtime_context().gcs_address)
                stored = get_memory_info_reply(state).store_stats.object_store_bytes_used
                self.stored = max(self.stored, int(stored))
            self.worker = max(self.worker, find_largest_worker())


KINDS: Kinds = {"read": read, "reuse": reuse}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    benchmark(parser, KINDS, build, rounds=3)


if __name__ == "__main__":
    main()
