"""Shared by all benchmarks: every kind of run in a process of its own, in turns, and medians of their times."""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from actors.engines.vllm.engine import ENVIRONMENT

# A kind of run returns its figures: `seconds` for all rows, and whatever else it wants in the table.
Figures = dict[str, float]
Kinds = dict[str, Callable[[argparse.Namespace], Figures]]


def benchmark(
    parser: argparse.ArgumentParser,
    kinds: Kinds,
    build: Callable[[argparse.Namespace, Path], None],
    rounds: int,
    ratios: bool = True,
) -> dict[str, Figures]:
    """Runs the kinds in turns and prints a table. Returns the medians of each kind's figures.

    parser: with the options that are this benchmark's own, `--rows` among them. build: saves in a folder what the
    runs need; it is options.folder to them. ratios: whether the kinds do the same thing, so that their times compare.
    """
    parser.formatter_class = argparse.RawTextHelpFormatter
    parser.add_argument("--rounds", type=int, default=rounds)
    parser.add_argument("--kinds", nargs="+", choices=kinds, default=list(kinds), help="those to run")
    parser.add_argument("--json", type=Path, help="where the figures go as well")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        _run_one(kinds, options)
    with tempfile.TemporaryDirectory() as name:
        options.folder = Path(name)
        build(options, options.folder)
        return _report(options, _in_turns(options), ratios)


def _run_one(kinds: Kinds, options: argparse.Namespace) -> None:
    """The work of a process of one kind: runs it, and prints its figures as its last line."""
    os.environ.update(ENVIRONMENT | {"OMP_NUM_THREADS": str(os.cpu_count())})
    print(json.dumps(kinds[options.one](options)))
    sys.stdout.flush()
    os._exit(0)  # no waiting for engines that nobody needs any more


def _in_turns(options: argparse.Namespace) -> dict[str, list[Figures]]:
    """Kind -> its figures in each round. Prints them as they come."""
    rounds: dict[str, list[Figures]] = {kind: [] for kind in options.kinds}
    for _ in range(options.rounds):
        for kind, figures in rounds.items():
            command = [sys.executable, *sys.argv, "--one", kind, "--folder", str(options.folder)]
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode:
                sys.exit(f"{kind} failed:\n{done.stdout[-3000:]}\n{done.stderr[-6000:]}")
            figures.append(json.loads(done.stdout.splitlines()[-1]))
            print(kind, *(f"{name}={value:.4g}" for name, value in figures[-1].items()), flush=True)
    return rounds


def _report(options: argparse.Namespace, rounds: dict[str, list[Figures]], ratios: bool) -> dict[str, Figures]:
    """Prints medians and spreads, writes all figures where --json says, and returns the medians."""
    medians: dict[str, Figures] = {}
    print(f"\n{'':12} {'median s':>9} {'min':>8} {'max':>8} {'rows/s':>9}")
    for kind, figures in rounds.items():
        medians[kind] = {name: statistics.median(one[name] for one in figures) for name in figures[0]}
        seconds = [one["seconds"] for one in figures]
        more = "".join(f"  {name} {value:.4g}" for name, value in medians[kind].items() if name != "seconds")
        median = medians[kind]["seconds"]
        print(f"{kind:12} {median:9.2f} {min(seconds):8.2f} {max(seconds):8.2f} {options.rows / median:9.1f}{more}")
    first, *others = medians
    for kind in others if ratios else ():
        print(f"{first} against {kind}: {medians[kind]['seconds'] / medians[first]['seconds']:.2f} times as fast")
    if options.json:
        asked = {name: value for name, value in vars(options).items() if name not in ("json", "one", "folder")}
        asked = {name: str(value) if isinstance(value, Path) else value for name, value in asked.items()}
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps({"options": asked, "rounds": rounds}, indent=1))
    return medians
