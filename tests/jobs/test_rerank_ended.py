"""The last words of a run that is ended by a signal."""

import json
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jobs import rerank
from tests.conftest import ROOT

CONFIG = ["configs/demo.yaml", "input.path=/in", "output.path=/out"]


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(15)])  # Ray makes the second of SIGTERM
def test_who_ends_a_run_is_told_that_nothing_is_lost(
    error: BaseException, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    def ended(config: object) -> None:
        raise error

    monkeypatch.setattr(rerank, "rerank", ended)
    assert rerank.main(CONFIG) == 1
    said = "rayrank: interrupted; what was scored is kept, and the same command goes on from there\n"
    assert capsys.readouterr().err == said


def test_sigterm_is_heard_before_there_is_a_ray(tmp_path: Path, minilm: str) -> None:
    pair = {"query": ["q"], "doc": ["d"], "score": [1.0]}
    pq.write_table(pa.table(pair), tmp_path / "pairs.parquet")
    (tmp_path / "out" / "lease").mkdir(parents=True)
    holder = {"token": "t", "host": "elsewhere", "pid": 1, "since": "now", "machine": "m", "started": "s", "beat": 0}
    (tmp_path / "out" / "lease" / "000001.json").write_text(json.dumps(holder))
    paths = [f"input.path={tmp_path}/pairs.parquet", f"output.path={tmp_path}/out", f"reranker.model={minilm}"]
    command = [sys.executable, "jobs/rerank.py", "configs/demo.yaml", *paths]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as driver:
        assert driver.stderr
        assert "held by process 1 on elsewhere" in driver.stderr.readline()
        driver.terminate()
        assert driver.wait(60) == 1
        assert "rayrank: interrupted; what was scored is kept" in driver.stderr.read()
