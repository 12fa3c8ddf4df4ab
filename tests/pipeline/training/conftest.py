"""The job over the result and the judgements in tmp_path."""

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from jobs.to_training import main


@pytest.fixture
def make(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    """Runs the job. Returns its rows, and its figures."""

    def make(*more: str, name: str = "out") -> tuple[list[dict[str, Any]], dict[str, Any]]:
        paths = [str(tmp_path / "result"), "--positives", str(tmp_path / "qrels"), "--output", str(tmp_path / name)]
        assert main([*paths, *more]) == 0
        figures = json.loads(capsys.readouterr().out)
        files = sorted((tmp_path / name).glob("part-*"))
        rows: list[dict[str, Any]] = []
        for file in files:
            lines = file.read_text().splitlines() if file.suffix == ".jsonl" else []
            rows += map(json.loads, lines) if lines else pq.read_table(file).to_pylist()
        assert len(rows) == figures["rows"]
        return rows, figures

    return make
