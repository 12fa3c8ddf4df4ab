"""One whole job for each kind of request, in this process: files in, the actor, vLLM, fusion, files out.

The families' own tests compare every setting with transformers; these show that a job gives the same. A job of
embeddings: tests/pipeline/run/test_engine.py.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.cluster.in_process import InProcess
from pipeline.config import parse
from pipeline.run import rerank
from tests.actors.rerankers import test_cross_encoder, test_qwen3, test_rankinggpt
from tests.parity import FLOAT32, PAIRS, SOME_PAIRS, Reference, assert_same
from tests.tiny_trained import ERANK, GRADES

NEW_TOKENS = 64


def run(
    folder: Path,
    reranker: dict[str, Any],
    pairs: Sequence[tuple[str, str]] = PAIRS,
    instructions: Sequence[str | None] | None = None,
    engine: dict[str, Any] | None = None,
    explain: bool = False,
) -> list[dict[str, Any]]:
    """The ranked rows of a whole job below `folder`, in the order of the pairs.

    reranker, engine: the sections of a config. instructions: a column of the input.
    """
    queries, docs = zip(*pairs, strict=True)
    numbers: dict[str, str] = {}
    table = {
        "query_id": [numbers.setdefault(query, f"q{len(numbers)}") for query in queries],
        "query": queries,
        "doc_id": [str(i) for i in range(len(docs))],
        "doc": docs,
        "score": [float(i) for i in range(len(docs))],
    }
    columns = {} if instructions is None else {"instruction": "instruction"}
    pq.write_table(
        pa.table(table | ({} if instructions is None else {"instruction": instructions})), folder / "pairs.parquet"
    )
    config = {
        "input": {"path": str(folder / "pairs.parquet"), "columns": columns},
        "reranker": reranker,
        "engine": engine if engine and "type" in engine else FLOAT32 | (engine or {}),
        "output": {"path": str(folder / "out"), "explain": explain},
        "run": {"unit_rows": 50, "max_failed": 1.0},
    }
    rerank(parse(config), cluster=InProcess())
    rows = {int(row["doc_id"]): row for row in pq.read_table(folder / "out" / "ranked").to_pylist()}
    return [rows[i] for i in range(len(docs))]


def scores(rows: list[dict[str, Any]]) -> np.ndarray:
    """The reranker's scores of ranked rows; nan where there is none."""
    return np.array([row["rerank_score"] for row in rows], dtype=np.float64)


def test_one_generated_token(tiny_model: Callable, tmp_path: Path) -> None:
    model = tiny_model("qwen3")
    settings = {"type": "qwen3", "model": model, "max_length": test_qwen3.LENGTH}
    rows = run(tmp_path, settings, instructions=test_qwen3.INSTRUCTIONS)
    assert_same(scores(rows), test_qwen3.expected(model))


def test_a_likelihood(tiny_model: Callable, tmp_path: Path) -> None:
    model = tiny_model("bloom")
    reference = Reference(model)
    rows = run(tmp_path, {"type": "rankinggpt", "model": model}, SOME_PAIRS)
    assert_same(scores(rows), np.array([test_rankinggpt.card(reference, *pair) for pair in SOME_PAIRS]))


def test_a_classifier(tiny_model: Callable, tmp_path: Path) -> None:
    model = tiny_model("bert")
    settings = {"type": "cross_encoder", "model": model}
    rows = run(tmp_path, settings, engine={"max_model_len": test_cross_encoder.LENGTH})
    assert_same(scores(rows), test_cross_encoder.expected(model, "bert"), atol=1e-5)


OUTCOMES: dict[str, Any] = {key: grade for grade, key in enumerate(GRADES)} | {
    "ENDLESS": f"the model wrote no </answer> within {NEW_TOKENS} new tokens",
    "UNTAGGED": "the model wrote no </answer>",
    "TWICE": 7,
    "AGAIN": 3,
    "ELEVEN": "the model's answer is not a whole number of 0 to 10: '11'",
    "WORDS": "the model's answer is not a whole number of 0 to 10: 'high'",
    "SILENT": "the model wrote no </answer>",
    "UNCLOSED": 4,
}


def test_a_long_generation_with_follow_ups(trained_erank: str, tmp_path: Path) -> None:
    """However the model answers, the result is the documented one."""
    settings = {"type": "erank", "model": trained_erank, "max_new_tokens": NEW_TOKENS}
    pairs = [(f"query {i}", f"It is about apples. It is {key} of all.") for i in range(3) for key in OUTCOMES]
    rows = run(tmp_path, settings, pairs, explain=True)
    for (_, doc), row in zip(pairs, rows, strict=True):
        key = doc.split()[6]
        if isinstance(OUTCOMES[key], str):
            assert (row["rerank_score"], row["score"], row["reason"]) == (None, None, OUTCOMES[key])
        else:
            assert row["rerank_score"] == pytest.approx(OUTCOMES[key], rel=0.15, abs=1e-9), key
            assert row["rerank_score"] <= OUTCOMES[key]
        wrote = row["explanation"] or ""
        whole = ERANK[key].partition("</answer>")
        assert wrote[:40] == "".join(whole[:2])[:40]
    assert rows[0]["rerank_score"] == 0.0, "an answer of 0 scores 0"
