"""A dry run against the run that follows it: python benchmarks/estimate.py

A first job gives the rate; the second has twice its pairs, whose documents are half as long again. The dry run's
tokens, seconds of scoring, and seconds with the engine's start are divided by what the second run counted and took.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.job import run_job
from benchmarks.rounds import Figures, Kinds, benchmark
from benchmarks.sizes import ENGINE, ON_CPU, RERANKER, SIZES, pairs, save_model, save_pairs


def build(options: argparse.Namespace, folder: Path) -> None:
    size = SIZES[options.size]
    save_model(size, folder / "model")
    save_pairs(pairs(options.rows // 2, size.words), folder / "first.parquet", options.rows)
    save_pairs(pairs(options.rows, size.words * 3 // 2), folder / "second.parquet", options.rows)


def job(options: argparse.Namespace) -> Figures:
    from pipeline.config import parse
    from pipeline.estimate.dry_run import dry_run
    from pipeline.estimate.rate import read_rate

    config = {
        "reranker": RERANKER | {"model": str(options.folder / "model")},
        "engine": ENGINE | ON_CPU,
        "run": {"unit_rows": 250},
    }
    first, second = (
        config | {"input": {"path": str(options.folder / f"{name}.parquet")}} for name in ("first", "second")
    )
    _, before = run_job(options.folder, first)
    planned = parse(second | {"output": {"path": str(options.folder / "planned")}})
    about = dry_run(planned, read_rate(before["output"], planned))
    _, after = run_job(options.folder, second)
    seconds = after["seconds"]
    return {
        "seconds": seconds["score"],
        "first's seconds": before["seconds"]["score"],
        "expected tokens / counted": about["prompt_tokens"] / after["prompt_tokens"],
        "expected scoring / taken": about["worker_hours"]["expected"] * 3600 / (seconds["score"] - seconds["engines"]),
        "expected / taken": about["score_seconds"] / seconds["score"],
    }


KINDS: Kinds = {"estimate": job}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", choices=SIZES, default="small")
    parser.add_argument("--rows", type=int, default=4000)
    benchmark(parser, KINDS, build, rounds=1)


if __name__ == "__main__":
    main()
