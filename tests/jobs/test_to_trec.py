"""jobs/to_trec.py: a result in, a TREC run and figures out. tests/pipeline/output/test_trec.py has the rest."""

import json
from pathlib import Path

import pytest

from jobs.to_trec import main
from tests.pipeline.output.test_trec import LINES, PARTS, put_result


def test_a_result_becomes_a_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put_result(str(tmp_path / "out"), PARTS)
    run_file = str(tmp_path / "rayrank.trec")
    assert main([str(tmp_path / "out"), run_file]) == 0
    assert Path(run_file).read_text() == LINES
    assert json.loads(capsys.readouterr().out) == {"run_file": run_file, "queries": 3, "rows": 6, "unscored": 2}
    assert main([str(tmp_path / "out"), run_file, "--tag", "mine"]) == 0
    assert Path(run_file).read_text() == LINES.replace(" rayrank", " mine")


def test_no_result_is_one_line_and_code_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path), str(tmp_path / "run.trec")]) == 2
    stdout, stderr = capsys.readouterr()
    assert (stdout, stderr.count("\n")) == ("", 1) and f"{tmp_path}: holds no finished result" in stderr


def test_a_store_that_is_none_is_one_line_and_code_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put_result(str(tmp_path / "out"), PARTS)
    assert main([str(tmp_path / "out"), "/proc/none/run.trec"]) == 1
    assert "/proc/none" in capsys.readouterr().err
