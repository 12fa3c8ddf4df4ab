"""From a TREC run and a BEIR folder on S3 to a ranking and back to a TREC run, prepared on a real Ray."""

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import pyarrow.parquet as pq
import pytest

from pipeline.input.listing import list_inputs
from pipeline.output.trec import write_trec
from pipeline.prepare.run import Arguments, prepare
from pipeline.prepare.sizes import Sizes
from tests.pipeline.conftest import ranked

QUERIES, DOCS = 12, 150


@pytest.fixture
def beir(one_ray: None, tmp_path: Path) -> str:
    """The URL of a BEIR folder with a run, compressed in part."""
    rng = random.Random(2)
    folder = f"s3://bucket/{tmp_path.name}"
    docs = [{"_id": f"d{i}", "title": f"title {i}", "text": f"document {i} about things"} for i in range(DOCS)]
    queries = [{"_id": f"q{i}", "text": f"query number {i}"} for i in range(QUERIES)]
    for name, rows in (("corpus.jsonl.gz", docs), ("queries.jsonl", queries)):
        with fsspec.open(f"{folder}/{name}", "wt", compression="infer") as file:
            file.writelines(json.dumps(row) + "\n" for row in rows)
    with fsspec.open(f"{folder}/bm25.trec", "wt") as file:
        for q in range(QUERIES):
            file.writelines(f"q{q} Q0 d{d} 0 {rng.randrange(9)} t\n" for d in rng.sample(range(DOCS + 3), 20))
    return folder


@pytest.fixture
def pairs(beir: str) -> dict[str, Any]:
    """The figures of pairs that were made of it, in several tasks a step."""
    sizes = Sizes(piece_bytes=3000, query_bucket_bytes=3000, doc_bucket_bytes=3000, doc_bucket_docs=100)
    corpus, queries = [f"{beir}/corpus.jsonl.gz"], [f"{beir}/queries.jsonl"]
    return prepare(Arguments([f"{beir}/bm25.trec"], queries, corpus, f"{beir}/pairs", depth=15, shard_rows=60), sizes)


def test_pairs_are_whole_queries_with_their_texts(pairs: dict[str, Any]) -> None:
    assert (pairs["queries"], pairs["shards"], pairs["unusable_rows"]) == (QUERIES, 3, 0)
    assert pairs["pairs"] + pairs["unknown_doc_rows"] == QUERIES * 15
    seen: list[str] = []
    for file in list_inputs([pairs["output"]]):
        with fsspec.open(file.path) as shard:
            rows = pq.read_table(shard).to_pylist()
        seen += dict.fromkeys(row["query_id"] for row in rows)
        for row in rows:
            assert row["query"] == f"query number {row['query_id'][1:]}"
            assert (row["title"], row["doc"]) == (
                f"title {row['doc_id'][1:]}",
                f"document {row['doc_id'][1:]} about things",
            )
    assert sorted(seen) == sorted(f"q{q}" for q in range(QUERIES))


@pytest.mark.slow
def test_from_a_trec_run_to_a_ranking_and_back(
    pairs: dict[str, Any], tmp_path: Path, rerank: Callable[..., dict]
) -> None:
    import ir_measures
    from ir_measures import AP, nDCG

    figures = rerank(pairs["output"], input={"path": [pairs["output"]], "columns": {"title": "title"}})
    assert (figures["rows"], figures["rejected"], figures["unscored"]) == (pairs["pairs"], 0, 0)
    run_file = f"{pairs['output']}.trec"
    assert write_trec(str(tmp_path / "out"), run_file, "rayrank")["rows"] == pairs["pairs"]
    rows = ranked(str(tmp_path / "out")).to_pylist()
    qrels = {f"q{q}": {f"d{d}": int(d % 3 == q % 3) for d in range(DOCS)} for q in range(QUERIES)}
    by_rank: dict[str, dict[str, float]] = {}
    for row in rows:
        by_rank.setdefault(row["query_id"], {})[row["doc_id"]] = -row["rank"]
    with fsspec.open(run_file, "rt") as file:
        read = list(ir_measures.read_trec_run(file.read()))
    measures = [nDCG @ 10, AP]
    assert ir_measures.calc_aggregate(measures, qrels, read) == ir_measures.calc_aggregate(measures, qrels, by_rank)


@pytest.fixture(name="rerank")
def _rerank(run: Callable[..., dict]) -> Callable[..., dict]:
    return run
