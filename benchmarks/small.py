"""Small things, from the command to its end: python benchmarks/small.py [--other ../main]

  alpha   jobs/rerank.py with another fusion.alpha, on a finished result of --rows rows
  again   jobs/rerank.py on a finished result, with nothing to do
  status  jobs/status.py on an output with --units score files
  check   jobs/rerank.py --check of a folder
With --other the same commands of another checkout are timed in turn with this one's, on outputs that it has made
itself (`other s` in the table; the model of both is MiniLM, and their scores are made up).
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.rounds import Figures, Kinds, benchmark

ROOT = Path(__file__).resolve().parent.parent
FILES, A_QUERY = 20, 100
A_FILE, A_UNIT = 100, 43  # units of an input file, and rows of a unit, in the output with many units
NOT_THE_TREE = (".git", ".venv", "build", "__pycache__", ".*_cache")
LINKS = 1000  # names that one file on disk may have
MAKE = """
import sys
from pipeline.config import load
from pipeline.run import rerank
from tests.fakes import KnownScorer

rerank(load(sys.argv[1]), KnownScorer)
"""


class Tree(NamedTuple):
    """A copy of a checkout, so that nothing is written to that. folder: for its config and its outputs."""

    checkout: Path
    folder: Path

    @property
    def root(self) -> Path:
        return self.folder / "tree"

    def run(self, *command: str) -> str:
        """The output of a command that is started in the checkout. Ends this process where it fails."""
        python_path = {"PYTHONPATH": str(self.root)}
        done = subprocess.run(
            [sys.executable, *command], cwd=self.root, env=os.environ | python_path, capture_output=True, text=True
        )
        if done.returncode:
            sys.exit(f"{' '.join(command)} in {self.root}:\n{done.stdout[-1000:]}\n{done.stderr[-3000:]}")
        return done.stdout

    def read_manifest(self) -> dict:
        return json.loads((self.folder / "out" / "manifest.json").read_text())


def list_trees(options: argparse.Namespace) -> list[Tree]:
    trees = [Tree(ROOT, options.folder / "this")]
    if options.other:
        trees.append(Tree(options.other, options.folder / "other"))
    return trees


def build(options: argparse.Namespace, folder: Path) -> None:
    """Saves the pairs; and for each checkout a config, a result and an output with many units."""
    save_pairs(folder / "pairs", options.rows)
    for tree in list_trees(options):
        shutil.copytree(tree.checkout, tree.root, ignore=shutil.ignore_patterns(*NOT_THE_TREE))
        (tree.folder / "config.yaml").write_text(json.dumps(make_config(folder / "pairs", tree.folder / "out")))
        tree.run("-c", MAKE, str(tree.folder / "config.yaml"))
        shutil.copytree(tree.folder / "out" / "scores", tree.folder / "many" / "scores")
        (scores,) = (tree.folder / "many" / "scores").iterdir()
        multiply_units(scores, options.units)


def save_pairs(folder: Path, rows: int) -> None:
    folder.mkdir()
    numbers = range(rows)
    table = pa.table(
        {
            "query_id": [f"q{i // A_QUERY}" for i in numbers],
            "query": [f"query number {i // A_QUERY}" for i in numbers],
            "doc_id": [f"d{i}" for i in numbers],
            "doc": [f"document {i} about things" for i in numbers],
            "score": [float(i * 37 % 101) for i in numbers],
        }
    )
    step = -(-rows // FILES)
    for i in range(FILES):
        pq.write_table(table.slice(i * step, step), folder / f"{i:03d}.parquet")


def make_config(pairs: Path, output: Path) -> dict:
    from tests.conftest import minilm_folder

    return {
        "input": {"path": str(pairs)},
        "reranker": {"type": "bi_encoder", "model": minilm_folder()},
        "engine": {"dtype": "float32", "enforce_eager": True, "max_model_len": 256},
        "output": {"path": str(output)},
    }


def multiply_units(scores: Path, units: int) -> None:
    """Puts `units` score files, all with the same rows, in place of those in a folder."""
    found = sorted(scores.glob("*-*.parquet"))
    data = found[0].read_bytes()
    for path in found:
        path.unlink()
    if (plan := scores / "plan.parquet").exists():  # rayrank 0.1: the names are those in its plan
        names = [f"{i:06d}-0000" for i in range(units)]
        table = pq.read_table(plan)
        pq.write_table(table.take([0] * units).set_column(0, "unit", pa.array(names)), plan)
    else:
        firsts = [i % A_FILE * A_UNIT for i in range(units)]
        names = [
            f"{i // A_FILE:016x}-{0:016x}-{A_FILE * A_UNIT}-{first:010d}-{first + A_UNIT:010d}"
            for i, first in enumerate(firsts)
        ]
    for i, name in enumerate(names):
        if not i % LINKS:
            original = scores / f"{name}.parquet"
            original.write_bytes(data)
        else:
            os.link(original, scores / f"{name}.parquet")


def time_in_turn(options: argparse.Namespace, kind: str) -> Figures:
    seconds = [TIMES[kind](tree, options) for tree in list_trees(options)]
    return dict(zip(("seconds", "other s"), seconds, strict=False))


def time_alpha(tree: Tree, options: argparse.Namespace) -> float:
    before = tree.read_manifest()["config"]["fusion"]["alpha"]
    alpha = 0.3 if before != 0.3 else 0.4
    seconds = time_rerank(tree, alpha)
    assert tree.read_manifest()["config"]["fusion"]["alpha"] == alpha
    return seconds


def time_again(tree: Tree, options: argparse.Namespace) -> float:
    before = tree.read_manifest()
    seconds = time_rerank(tree, before["config"]["fusion"]["alpha"])
    assert tree.read_manifest() == before, "the result was made once more"
    return seconds


def time_rerank(tree: Tree, alpha: float) -> float:
    began = time.perf_counter()
    printed = tree.run("jobs/rerank.py", str(tree.folder / "config.yaml"), f"fusion.alpha={alpha}")
    seconds = time.perf_counter() - began
    figures = json.loads(printed.splitlines()[-1])
    assert figures["scored_now"] == 0 and figures["unscored"] == 0, figures
    return seconds


def time_status(tree: Tree, options: argparse.Namespace) -> float:
    began = time.perf_counter()
    printed = tree.run("jobs/status.py", str(tree.folder / "many"))
    seconds = time.perf_counter() - began
    assert f"{options.units:,}" in printed, printed
    return seconds


def time_check(tree: Tree, options: argparse.Namespace) -> float:
    began = time.perf_counter()
    printed = tree.run("jobs/rerank.py", str(tree.folder / "config.yaml"), "--check")
    seconds = time.perf_counter() - began
    assert f"{FILES} input file" in printed, printed
    return seconds


TIMES = {"alpha": time_alpha, "again": time_again, "status": time_status, "check": time_check}
KINDS: Kinds = {kind: partial(time_in_turn, kind=kind) for kind in TIMES}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=4300)
    parser.add_argument("--units", type=int, default=100_000)
    parser.add_argument("--other", type=Path, help="another checkout")
    benchmark(parser, KINDS, build, rounds=5, ratios=False)


if __name__ == "__main__":
    main()
