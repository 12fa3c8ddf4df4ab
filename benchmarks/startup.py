"""From the command to the first scored pair, taken apart: python benchmarks/startup.py

The seconds of each step of a job of one unit, in the order in which they come.
"""

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from actors.worker.actor import Scorer
from benchmarks.job import run_job
from benchmarks.rounds import Figures, Kinds, benchmark
from benchmarks.sizes import ENGINE, ON_CPU, RERANKER, SIZES, pairs, save_model, save_pairs


def build(options: argparse.Namespace, folder: Path) -> None:
    size = SIZES[options.size]
    save_model(size, folder / "model")
    save_pairs(pairs(options.rows, size.words), folder / "pairs.parquet", options.rows)


def job(options: argparse.Namespace) -> Figures:
    config = {
        "input": {"path": str(options.folder / "pairs.parquet")},
        "reranker": RERANKER | {"model": str(options.folder / "model")},
        "engine": ENGINE | ON_CPU,
    }
    began, called = psutil.Process().create_time(), time.time()
    stamps = options.folder / "stamps"
    stamps.unlink(missing_ok=True)
    units, figures = run_job(options.folder, config, stamped(stamps))
    actor, ready = map(float, stamps.read_text().split())
    scoring = called + figures["seconds"]["plan"] + figures["seconds"]["start"]
    return {
        "seconds": units[0].put - began,
        "import": called - began,
        "check and plan": figures["seconds"]["plan"],
        "Ray": figures["seconds"]["start"],
        "actor's process": actor - scoring,
        "engine": ready - actor,
        "wait for the unit": units[0].came - ready,
        "score and put it": units[0].put - units[0].came,
    }


def stamped(path: Path) -> type:
    """A scorer that writes down when its process began to build it, and when it was built."""

    class Stamped(Scorer):
        def __init__(self, **settings: Any):
            began = time.time()
            super().__init__(**settings)
            path.write_text(f"{began} {time.time()}")

    return Stamped


KINDS: Kinds = {"job": job}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", choices=SIZES, default="small")
    parser.add_argument("--rows", type=int, default=50)
    benchmark(parser, KINDS, build, rounds=3)


if __name__ == "__main__":
    main()
