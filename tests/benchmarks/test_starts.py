"""Every benchmark of a job begins and ends, here with the smallest input: what they measure is for quiet machines."""

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.conftest import ROOT

SMALLEST = {
    "carry": ["--rows", "2000"],
    "cross_encoder": ["--rows", "100", "--unit-rows", "20", "--kinds", "job", "raw"],
    "dataflow": ["--rows", "40000"],
    "estimate": ["--rows", "300"],
    "likelihood": ["--rows", "20"],
    "many_files": ["--rows", "1000"],
    "prefix": ["--rows", "200", "--unit-rows", "50"],
    "reasoning": ["--rows", "40"],
    "reuse": ["--rows", "20000"],
    "scaling": ["--rows", "100"],
    "small": ["--rows", "200", "--units", "1000"],
    "startup": ["--rows", "50"],
    "throughput": ["--rows", "50", "--size", "overhead"],
    "transformers_engine": ["--rows", "50", "--task", "small"],
    "windows": ["--rows", "1000", "--unit-rows", "500", "--type", "first"],
}
OWN_WAY = {"fusion"}  # it needs DuckDB


def test_every_benchmark_is_here() -> None:
    with_main = {path.stem for path in (ROOT / "benchmarks").glob("*.py") if "__main__" in path.read_text()}
    assert with_main == SMALLEST.keys() | OWN_WAY


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", SMALLEST)
def test_it_begins_and_ends(name: str, tmp_path: Path) -> None:
    if name == "transformers_engine" and not find_spec("sentence_transformers"):
        pytest.skip("needs sentence-transformers")
    figures = tmp_path / "figures"
    command = [sys.executable, f"benchmarks/{name}.py", *SMALLEST[name], "--rounds", "1", "--json", str(figures)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(figures.read_text())
