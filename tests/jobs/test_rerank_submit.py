"""The job as it is really used: a cluster started by `ray start --head`, and `ray job submit`."""

import json
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.conftest import ROOT

RAY = str(Path(sys.executable).parent / "ray")


def submit(environment: dict[str, str], *arguments: str) -> tuple[int, str]:
    command = [RAY, "job", "submit", "--working-dir", str(ROOT), "--", sys.executable, "jobs/rerank.py", *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=ROOT)
    return done.returncode, done.stdout


@pytest.fixture
def pairs(tmp_path: Path) -> str:
    path = tmp_path / "pairs.parquet"
    docs = ["Bake it at 180 degrees.", "The capital of France is Paris.", "Rivers flow to the sea."]
    queries = ["what is the capital of France", "how long do I bake bread"]
    rows = [{"query": q, "doc": d, "score": float(i)} for q in queries for i, d in enumerate(docs)]
    pq.write_table(pa.Table.from_pylist(rows), path)
    return str(path)


def test_a_submitted_job_uses_the_cluster_and_ranks(
    cluster: dict[str, str], pairs: str, minilm: str, tmp_path: Path
) -> None:
    output = tmp_path / "out"
    code, log = submit(
        cluster, "configs/demo.yaml", f"input.path={pairs}", f"output.path={output}", f"reranker.model={minilm}",
        "fusion.method=none", "output.columns=[doc]",
    )  # fmt: skip
    assert code == 0, log
    assert json.loads((output / "manifest.json").read_text())["figures"]["scored_now"] == 6
    (part,) = (output / "ranked").iterdir()
    best = [row["doc"] for row in pq.read_table(part).to_pylist() if row["rank"] == 1]
    assert sorted(best) == ["Bake it at 180 degrees.", "The capital of France is Paris."]


@pytest.mark.slow
def test_a_wrong_config_fails_the_job_with_its_one_line(cluster: dict[str, str], minilm: str, tmp_path: Path) -> None:
    wrong = ["input.path=pairs.parquet", f"output.path={tmp_path / 'out'}", f"reranker.model={minilm}"]
    code, log = submit(cluster, "configs/demo.yaml", *wrong)
    assert code == 1  # what `ray job submit` makes of any failure; the driver's own code is in its log
    assert "rayrank: input.path = 'pairs.parquet': a relative path in a submitted job" in log
    assert "exit code 2" in log
