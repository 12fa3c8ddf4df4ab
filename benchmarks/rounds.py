"""What all benchmarks share: every kind of run in a process of its own, in turns, and medians of what they took."""

import argparse
import itertools
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from actors.engine import ENVIRONMENT

Kinds = dict[str, Callable[[argparse.Namespace], float]]


def add_options(parser: argparse.ArgumentParser, kinds: Kinds, rounds: int) -> None:
    """The options that every benchmark has."""
    parser.add_argument("--rounds", type=int, default=rounds)
    parser.add_argument("--kinds", nargs="+", choices=kinds, default=list(kinds), help="those to run")
    parser.add_argument("--json", type=Path, help="where the figures go as well")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)


def run_one(kinds: Kinds, options: argparse.Namespace) -> None:
    """What a process of one kind does: runs it, and prints its seconds as its last line."""
    os.environ.update(ENVIRONMENT | {"OMP_NUM_THREADS": str(os.cpu_count())})
    print(json.dumps(kinds[options.one](options)))
    sys.stdout.flush()
    os._exit(0)  # no waiting for engines that nobody needs any more


def in_turns(options: argparse.Namespace, folder: Path) -> dict[str, list[float]]:
    """Kind -> the seconds it took in each round. Prints them as they come."""
    seconds: dict[str, list[float]] = {kind: [] for kind in options.kinds}
    for _ in range(options.rounds):
        for kind, taken in seconds.items():
            command = [sys.executable, *sys.argv, "--one", kind, "--folder", str(folder)]
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode:
                sys.exit(f"{kind} failed:\n{done.stdout[-3000:]}\n{done.stderr[-6000:]}")
            taken.append(json.loads(done.stdout.splitlines()[-1]))
            print(f"{kind:12} {taken[-1]:8.2f} s  {options.rows / taken[-1]:8.1f} rows/s", flush=True)
    return seconds


def report(options: argparse.Namespace, seconds: dict[str, list[float]]) -> dict[str, float]:
    """Prints medians and spreads, writes them where --json says, and returns the medians."""
    medians = {kind: statistics.median(taken) for kind, taken in seconds.items()}
    print(f"\n{'':12} {'median s':>9} {'min':>8} {'max':>8} {'rows/s':>9}")
    for kind, taken in seconds.items():
        print(f"{kind:12} {medians[kind]:9.2f} {min(taken):8.2f} {max(taken):8.2f} {options.rows / medians[kind]:9.1f}")
    for kind in options.kinds:
        if kind != "job" and "job" in medians:
            print(f"job against {kind}: {medians[kind] / medians['job']:.2f} times as fast")
    if options.json:
        asked = {name: value for name, value in vars(options).items() if name not in ("json", "one", "folder")}
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps({"options": asked, "seconds": seconds}, indent=1))
    return medians


def steady(ends: list[tuple[float, int]]) -> float:
    """Seconds for all rows at the pace of those after the first to end. ends: of each unit or batch, and its rows."""
    ends.sort()
    rows = list(itertools.accumulate(count for _, count in ends))
    return (ends[-1][0] - ends[0][0]) * rows[-1] / (rows[-1] - rows[0])
