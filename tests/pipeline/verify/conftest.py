"""Shared by tests of verifications: tiny models, pairs of a few queries, and engines in this process."""

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.config import Config, parse
from pipeline.verify.score import Order, Prompts, Scored, Written, score_here
from pipeline.verify.verdict import Verdict
from pipeline.verify.verify import verify
from tests import tiny
from tests.parity import DOCS, QUERIES, shared_engine

PAIRS = 24  # of a verification: 12 of one query among them
TRANSFORMERS = {"type": "transformers", "dtype": "float32"}
LB = {"type": "lb"}
LABEL = {
    "type": "label",
    "messages": [{"role": "user", "content": "Query: {query}\nText: {doc}\nTrue?"}],
    "labels": {" yes": 1, " no": 0},
    "score": "probability",
}


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a model of tests/tiny.py, which must not be changed."""
    return cache(lambda name: Path(getattr(tiny, name)(tmp_path_factory.mktemp(name))))


@pytest.fixture(scope="session")
def pairs_file(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Four queries with 15 documents each, from short ones to 1,500 characters."""
    path = tmp_path_factory.mktemp("pairs") / "pairs.parquet"
    rows = [
        {"query_id": f"q{q}", "query": query, "doc_id": f"d{d}", "doc": doc, "score": float(d)}
        for q, query in enumerate([QUERIES[0], QUERIES[4], QUERIES[8], QUERIES[1]])
        for d, doc in enumerate(DOCS[:15])
    ]
    pq.write_table(pa.Table.from_pylist(rows), path)
    return str(path)


@pytest.fixture(scope="session")
def make(pairs_file: str, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Config]:
    """A config of these pairs, for the transformers engine."""
    output = tmp_path_factory.mktemp("output")

    def make(model: Path, reranker: dict[str, Any] = LB, **engine: Any) -> Config:
        sections: dict[str, Any] = {"input": {"path": pairs_file}, "output": {"path": str(output)}}
        return parse(sections | {"reranker": reranker | {"model": str(model)}, "engine": TRANSFORMERS | engine})

    return make


def score_in_process(
    config: Config, prompts: Prompts, orders: list[Order], written: Written, threads: int
) -> list[Scored]:
    one_of_many = "hf_overrides" not in config.engine  # else its arguments are no key of a cache
    return score_here(config, prompts, orders, written, shared_engine if one_of_many else None)


def verify_here(config: Config, against: str = "transformers", score: Any = score_in_process) -> Verdict:
    """A verification whose engines are in this process."""
    return verify(config, against, PAIRS, score=score)


def write_scores(verdict: Verdict, path: Path) -> str:
    """The engine's scores as a file of JSON lines."""
    scores = next(iter(verdict.scores.values())).tolist()
    ids = zip(verdict.rows["query_id"].to_pylist(), verdict.rows["doc_id"].to_pylist(), strict=True)
    lines = [{"query_id": query, "doc_id": doc, "score": scores[at]} for at, (query, doc) in enumerate(ids)]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return str(path)
