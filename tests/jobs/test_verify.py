"""The command: exit codes, what it prints, and the file of figures."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from jobs import verify as job
from pipeline.verify.score import Scored, score_here
from pipeline.verify.verify import verify
from tests.parity import DOCS, QUERIES


def score(config, prompts, orders, written, threads) -> list[Scored]:  # type: ignore[no-untyped-def]
    return score_here(config, prompts, orders, written)


@pytest.fixture
def config(write_pairs: Callable, minilm: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A config of 24 pairs, whose engines are in this process."""
    monkeypatch.setattr(job, "verify", partial(verify, score=score))
    pairs = [(query, doc) for query in QUERIES[:2] for doc in DOCS[:12]]
    path = write_pairs(
        query=[query for query, _ in pairs], doc=[doc for _, doc in pairs], score=[float(i) for i in range(24)]
    )
    sections = {
        "input": {"path": path},
        "reranker": {"type": "bi_encoder", "model": minilm},
        "engine": {"type": "transformers", "dtype": "float32"},
        "output": {"path": str(tmp_path / "new" / "out")},
    }
    (tmp_path / "config.yaml").write_text(json.dumps(sections))
    return str(tmp_path / "config.yaml")


def test_a_good_engine_ends_with_0_and_its_own_scores_changed_with_1(
    config: str, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    assert job.main([config, "--rows", "10", "--json", str(tmp_path / "figures.json")]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[0].startswith("10 pairs of 2 queries, ") and out[-2] == "all within 1.0e-03"
    figures = json.loads((tmp_path / "figures.json").read_text())
    pairs = figures.pop("pairs_scored")
    assert json.loads(out[-1]) == figures and len(pairs) == 10 and not (tmp_path / "new").exists()
    lines = [
        json.dumps({"query_id": pair["query_id"], "doc_id": pair["doc_id"], "score": -pair["scores"]["transformers"]})
        for pair in pairs
    ]
    (tmp_path / "turned.jsonl").write_text("\n".join(lines))
    assert job.main([config, "--against", str(tmp_path / "turned.jsonl"), "--rows", "10"]) == 1
    out = capsys.readouterr().out.splitlines()
    assert out[-2].startswith("FAULT: ") and "turned round" in out[-2]
    assert json.loads(out[-1])["faults"] == [out[-2].removeprefix("FAULT: ")]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--rows", "1"], "--rows = 1: two pairs are needed at least"),
        (["--tolerance", "-1"], "--tolerance = -1.0: should be a number from 0 on"),
        (["--against", "nothing/there"], "nothing/there: no committed result"),
        (["--against", "s3://key:secret@bucket/scores"], "--against"),
        (["engine.type=onnx"], "engine.type = 'onnx': unknown"),
        (["reranker.model=./none"], "./none"),
    ],
)
def test_what_is_wrong_is_one_line_and_code_2(
    arguments: list[str], words: str, config: str, capsys: pytest.CaptureFixture
) -> None:
    assert job.main([config, *arguments]) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("rayrank: ")]
    assert len(lines) == 1 and words in lines[0] and "secret" not in lines[0]
