"""jobs/rerank.py CONFIG --dry-run: what it prints, what it leaves, and how its flags go together."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import ray
import yaml

from jobs.rerank import main
from pipeline.config import Config


@pytest.fixture
def config_file(make_config: Callable[..., Config], write_pairs: Callable, tmp_path: Path) -> str:
    path = write_pairs(query=["q"] * 20, doc=[f"document {i}" for i in range(20)], score=[float(i) for i in range(20)])
    values = make_config(path).model_dump(mode="json", exclude_unset=True)
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(values))
    return str(tmp_path / "config.yaml")


def test_it_prints_words_and_then_figures(config_file: str, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    there = sorted(tmp_path.iterdir())
    assert main([config_file, "--dry-run", "--pairs-per-second", "4", "run.unit_rows=10"]) == 0
    *words, last = capsys.readouterr().out.splitlines()
    assert words[0] == "to score  20 pairs in 2 units of 1 files"
    assert any(line.startswith("hours ") for line in words)
    assert json.loads(last)["worker_hours"]["expected"] == pytest.approx(20 / 4 / 3600)
    assert sorted(tmp_path.iterdir()) == there and not ray.is_initialized()


def test_without_a_rate_it_says_how_to_give_one(config_file: str, capsys: pytest.CaptureFixture) -> None:
    assert main([config_file, "--dry-run"]) == 0
    assert "not known without a rate: --from-manifest OUTPUT" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--from-manifest", "here"], "go with --dry-run"),
        (["--gpu-hour-price", "2"], "go with --dry-run"),
        (["--dry-run", "--from-manifest", "here", "--pairs-per-second", "2"], "give one of them"),
    ],
)
def test_flags_that_do_not_go_together(
    flags: list[str], said: str, config_file: str, capsys: pytest.CaptureFixture
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main([config_file, *flags])
    assert said in capsys.readouterr().err


def test_an_output_without_a_result_is_one_line(
    config_file: str, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    assert main([config_file, "--dry-run", "--from-manifest", str(tmp_path)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"rayrank: --from-manifest '{tmp_path}': there is no finished result")
