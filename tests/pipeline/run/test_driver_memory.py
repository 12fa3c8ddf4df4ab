"""The driver's memory grows with units, not with rows: peak resident set of the driver process, fusion included."""

import json
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.conftest import ROOT

DRIVER = """
import json, resource, sys
from pipeline.config import parse
from pipeline.run import rerank
from tests.fakes import FreeScorer

figures = rerank(parse(json.loads(sys.argv[1])), FreeScorer)
print(json.dumps(figures | {"peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}))
"""


def peak(folder: Path, model: str, units: int, unit_rows: int) -> int:
    """Peak bytes of a driver that runs `units` units of `unit_rows` rows, read from files of 100 units."""
    (folder / "in").mkdir(parents=True)
    rows = 100 * unit_rows
    for i in range(units // 100):
        numbers = pa.array(range(i * rows, (i + 1) * rows))
        docs = numbers.cast(pa.string())
        queries = pa.compute.divide(numbers, 100).cast(pa.string())
        columns = {"query_id": queries, "query": queries, "doc_id": docs, "doc": docs, "score": numbers}
        pq.write_table(pa.table(columns), folder / "in" / f"{i:04d}.parquet")
    config = {
        "input": {"path": str(folder / "in")},
        "reranker": {"type": "bi_encoder", "model": model},
        "engine": {"max_model_len": 256},
        "run": {"unit_rows": unit_rows},
        "output": {"path": str(folder / "out")},
    }
    command = [sys.executable, "-c", DRIVER, json.dumps(config)]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    figures = json.loads(done.stdout.splitlines()[-1])
    assert figures["scored_now"] == figures["ranked"] == units * unit_rows
    print(f"{units:,} units of {unit_rows:,} rows: peak {figures['peak'] / 2**20:.1f} MiB, {figures['seconds']}")
    return figures["peak"]


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_the_driver_grows_with_units_and_not_with_rows(tmp_path: Path, minilm: str) -> None:
    few = peak(tmp_path / "few", minilm, units=200, unit_rows=100)
    many = peak(tmp_path / "many", minilm, units=2000, unit_rows=100)
    wide = peak(tmp_path / "wide", minilm, units=2000, unit_rows=1000)
    print(
        f"{(many - few) / 1800 / 1000:.1f} kB more a unit; {(wide - many) / 2**20:.1f} MiB more for ten times the rows"
    )
    assert (many - few) / 1800 <= 40_000
    assert wide - many <= 20 * 2**20
