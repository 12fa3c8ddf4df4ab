"""The checks of benchmarks/gpu: on the CPU with tiny models all of them are good, and wrong scores make them fail."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.gpu import determinism, exactness
from benchmarks.gpu.speed import compare_speed
from tests.conftest import ROOT

EXACT = np.linspace(0, 1, 100)
MOVES = np.random.default_rng(0).normal(0, 1e-3, 100)


def run_tiny(command: str, path: Path) -> dict[str, dict[str, Any]]:
    """The lines of a command, by the name of their check. The file and the output hold the same ones."""
    arguments = [command, "--cpu", "--tiny", "--json", str(path)]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.gpu", *arguments], cwd=ROOT, capture_output=True, text=True
    )
    assert done.stdout == path.read_text(), done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line for line in lines if line["ok"] is not True] == []
    assert done.returncode == 0
    return {line["check"]: line for line in lines}


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_scores_are_exact_and_deterministic_on_the_cpu(tmp_path: Path) -> None:
    lines = run_tiny("exactness", tmp_path / "lines")
    assert len(lines) == 8
    assert lines["lb-fp32"]["cached_share"] > 0, "no prompt shared its beginning"
    assert lines["rankinggpt-llama2-fp32-chunked"]["cached_share"] == 0
    assert lines["label-overhead-bf16"]["ours_to_fp32"]["median"] > 0, "nothing was rounded"
    assert lines["deterministic"]["same_bits"]


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_job_is_measured_against_vllm_and_the_rate_of_the_machine(tmp_path: Path) -> None:
    job = run_tiny("speed", tmp_path / "lines")["overhead-job"]
    assert job["job_against_raw"] > 0.1 and 0 < job["job_against_limit"] < 1.1


@pytest.mark.parametrize(
    ("off", "half", "good"),
    [
        (0 * MOVES, False, True),
        (MOVES, False, False),
        (MOVES[::-1], True, True),
        (3 * MOVES, True, False),
        (MOVES + np.nan, True, False),
    ],
    ids=["exact", "inexact", "rounded", "rounded-further", "unscored"],
)
def test_scores_are_judged_by_transformers(off: np.ndarray, half: bool, good: bool) -> None:
    theirs = EXACT + MOVES if half else EXACT
    assert exactness.judge(EXACT + off, theirs, EXACT, half, len(EXACT))["ok"] is good


def test_scores_that_do_not_spread_prove_nothing() -> None:
    flat = np.full(100, 0.5)
    assert not exactness.judge(flat, flat, flat, half=False, pairs=100)["ok"]
    assert not determinism.judge(flat, {"again": flat}, deterministic=True)["ok"]


@pytest.mark.parametrize(
    ("off", "deterministic", "good"),
    [(0, True, True), (1e-16, True, False), (1e-2, False, True), (0.2, False, False)],
)
def test_deterministic_scores_are_the_same_to_the_bit_and_others_move_little(
    off: float, deterministic: bool, good: bool
) -> None:
    moved = np.where(EXACT > 0.8, EXACT, EXACT + off)
    facts = determinism.judge(EXACT, {"same": EXACT, "moved": moved}, deterministic)
    assert facts["ok"] is good
    assert facts["same_bits"] is (off == 0)


def test_speeds_are_ratios_within_one_size() -> None:
    seconds = {"0.5B-limit": 10.0, "0.5B-raw": 20.0, "0.5B-job": 25.0, "4B-raw": 1.0}
    assert compare_speed("0.5B-job", seconds) == {"job_against_raw": 0.8, "job_against_limit": 0.4}
    assert compare_speed("0.5B-limit", seconds) == {}
