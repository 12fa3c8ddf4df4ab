"""Training data is taken by the libraries that it is for, each in an environment of its own, which pip fills."""

import json
import subprocess
import sysconfig
import venv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from jobs.to_training import main
from tests import tiny
from tests.pipeline.training.test_training import draw_positives, draw_result

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
READERS = Path(__file__).parent / "readers"
# Packages that our own environment lacks; torch, transformers and pyarrow are taken from it.
DATASETS = ["datasets==5.2.0", "accelerate==1.15.0", "multiprocess", "dill", "xxhash"]
SENTENCE_TRANSFORMERS = ["sentence-transformers==6.2.0", "scikit-learn", "scipy", "joblib", "threadpoolctl", "narwhals"]
FLAG_EMBEDDING = ["FlagEmbedding==1.4.2", "peft"]


@pytest.fixture
def run_in(tmp_path: Path) -> Callable[..., Any]:
    """Runs a script in a new environment with some packages more than ours, and returns what its last line says."""

    def run(packages: list[str], script: str, *arguments: str) -> Any:
        folder = tmp_path / "environment"
        venv.create(folder, with_pip=True)
        (inside,) = folder.glob("lib/python*/site-packages")
        (inside / "ours.pth").write_text(sysconfig.get_paths()["purelib"])
        python = folder / "bin" / "python"
        subprocess.run([python, "-m", "pip", "install", "-qq", "--no-deps", *DATASETS, *packages], check=True)
        done = subprocess.run([python, READERS / script, *arguments], capture_output=True, text=True, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    return run


@pytest.fixture
def write_form(tmp_path: Path) -> Callable[[str, str], str]:
    """Writes the groups of a drawn result in a form, and returns their folder."""
    draw_positives(draw_result(tmp_path / "result"), tmp_path / "qrels")

    def write(form: str, file: str) -> str:
        arguments = ["--positives", str(tmp_path / "qrels"), "--format", form, "--file", file]
        assert main([str(tmp_path / "result"), "--output", str(tmp_path / form), *arguments]) == 0
        return str(tmp_path / form)

    return write


def test_losses_of_sentence_transformers_train_on_it(
    run_in: Callable[..., Any], write_form: Callable[[str, str], str], tmp_path: Path
) -> None:
    folders = [write_form("triplet", "parquet"), write_form("labeled-list", "parquet")]
    model = tiny.bert(tmp_path / "model")
    found = run_in(SENTENCE_TRANSFORMERS, "losses.py", *folders, model, str(tmp_path / "trained"))
    assert len(found) == 5
    for loss, (steps, moved) in found.items():
        assert steps == 3 and moved > 1e-4, loss


def test_flagembedding_reads_groups_with_their_scores(
    run_in: Callable[..., Any], write_form: Callable[[str, str], str]
) -> None:
    folder = write_form("flagembedding", "jsonl")
    lines = [line for file in Path(folder).glob("*.jsonl") for line in file.read_text().splitlines()]
    written = {row["query"]: row for row in map(json.loads, lines)}
    groups = run_in(FLAG_EMBEDDING, "groups.py", folder)
    assert {query for query, _, _ in groups} == written.keys()
    for query, passages, scores in groups:
        row = written[query]
        assert passages[0] in row["pos"] and len(passages) == 4 and {*passages[1:]} <= {*row["neg"]}
        known = dict(zip(row["pos"] + row["neg"], row["pos_scores"] + row["neg_scores"], strict=True))
        assert scores == [known[passage] for passage in passages]
