"""More actors and more rows: python benchmarks/scaling.py [--rows 2000 ...]

One-token scoring, each actor's engine on one core of its own:
  two      an actor on each of two cores
  one      one actor
  tenfold  one actor, ten times the rows
Pairs/s after the first unit, and the CPU seconds that a pair takes of all processes of the job.
"""

import argparse
import os
import sys
import threading
import time
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import psutil

from actors.worker.actor import Scorer
from benchmarks.job import run_job, steady
from benchmarks.rounds import Figures, Kinds, benchmark
from benchmarks.sizes import ENGINE, ON_CPU, RERANKER, SIZES, pairs, save_model, save_pairs

EVERY = 0.1


def build(options: argparse.Namespace, folder: Path) -> None:
    size = SIZES[options.size]
    save_model(size, folder / "model")
    columns = pairs(10 * options.rows, size.words)
    save_pairs(columns, folder / "tenfold.parquet", options.unit_rows)
    save_pairs(
        {name: column[: options.rows] for name, column in columns.items()}, folder / "once.parquet", options.unit_rows
    )


def job(options: argparse.Namespace, pairs: str, actors: int) -> Figures:
    config = {
        "input": {"path": str(options.folder / f"{pairs}.parquet")},
        "reranker": RERANKER | {"model": str(options.folder / "model")},
        "engine": ENGINE | ON_CPU,
        "workers": {"count": actors},
        "run": {"unit_rows": options.unit_rows},
    }
    for claim in options.folder.glob("core-*"):
        claim.unlink()
    samples: list[tuple[float, float]] = []
    threading.Thread(target=_sample, args=(samples,), daemon=True).start()
    units, _ = run_job(options.folder, config, pinned(options.folder))
    rows = sum(unit.rows for unit in units)
    times, cpu = np.array(samples).T
    at_first, at_last = cpu[np.searchsorted(times, [units[0].put, units[-1].put]) - 1]  # the samples before
    seconds = steady(units) / rows * options.rows
    return {"seconds": seconds, "CPU ms a pair": 1000 * (at_last - at_first) / (rows - units[0].rows)}


def pinned(folder: Path) -> type:
    """A scorer whose engine has one core that no other's has."""

    class Pinned(Scorer):
        def __init__(self, **settings: Any):
            os.sched_setaffinity(0, {self._claim()})  # of this thread, and of those that it will start
            super().__init__(**settings | {"threads": 1})

        def _claim(self) -> int:
            for core in sorted(os.sched_getaffinity(0)):
                try:
                    (folder / f"core-{core}").touch(exist_ok=False)
                    return core
                except FileExistsError:
                    continue
            raise RuntimeError("fewer cores than actors")

    return Pinned


def _sample(samples: list[tuple[float, float]]) -> None:
    """Adds, every EVERY seconds, the time and the CPU seconds that this process and those it started have taken."""
    while True:
        seconds = 0.0
        for process in [psutil.Process(), *psutil.Process().children(recursive=True)]:
            try:
                taken = process.cpu_times()
            except psutil.NoSuchProcess:  # since a moment ago: from now on among what its parent's children took
                continue
            seconds += taken.user + taken.system + taken.children_user + taken.children_system
        samples.append((time.time(), seconds))
        time.sleep(EVERY)


KINDS: Kinds = {
    "two": partial(job, pairs="once", actors=2),
    "one": partial(job, pairs="once", actors=1),
    "tenfold": partial(job, pairs="tenfold", actors=1),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", choices=SIZES, default="small")
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--unit-rows", type=int, default=12, help="many units, for the first actor takes 34 at once")
    medians = benchmark(parser, KINDS, build, rounds=3)
    if {"one", "tenfold"} <= set(medians):
        once, tenfold = (medians[kind]["CPU ms a pair"] for kind in ("one", "tenfold"))
        print(f"CPU a pair at ten times the rows: {tenfold / once:.3f} times")


if __name__ == "__main__":
    main()
