"""Whole runs with the real vLLM and the real MiniLM on real texts, against figures computed apart. One job of them on a
real Ray: tests/jobs/test_rerank_submit.py.

The texts are docstrings of Python's standard library, and the judgements those of the demo. Where the collections of
tests/conftest.py's SHARED_DATA are at hand, the slow tests run on them too.
"""

import csv
import inspect
import pydoc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ir_measures
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from actors.rerankers.contract import Pair
from actors.worker.actor import Scorer
from jobs.demo.prepare import QUESTIONS
from pipeline.cluster.in_process import InProcess
from pipeline.config import Config
from pipeline.run import rerank
from tests import formulas
from tests.actors.rerankers import test_bi_encoder
from tests.conftest import SHARED_DATA

ALPHAS = (1, 0.8, 0.5, 0.2, 0)
# nDCG@10 for each alpha, from the README of the collections: transformers, mean pooling, float32, 256 tokens.
REFERENCE = {
    "msmarco-dl19": (0.5058, 0.5361, 0.5992, 0.6556, 0.6424),
    "cranfield": (0.5116, 0.5311, 0.5554, 0.5602, 0.5234),
}
SETTINGS = {"max_query_tokens": 256, "max_doc_tokens": 256}

on_shared_data = [
    pytest.mark.slow,
    pytest.mark.skipif(not SHARED_DATA.is_dir(), reason=f"the test collections are not at {SHARED_DATA}"),
]
QUERIES, JUDGED = 6, 12  # questions of the demo that are asked, and those whose answers are the documents


class NoScorer:
    """Stands where an engine would start, and must not."""

    def __init__(self, **unused: Any):
        raise AssertionError("an engine was started")

    async def __call__(self, batch: Any) -> Any:
        raise AssertionError("an engine was asked")


def make_collection() -> tuple[pa.Table, list[ir_measures.Qrel]]:
    """QUERIES questions of the demo, each with every document; the score before is the number of words they share."""
    entries = yaml.safe_load(QUESTIONS.read_text(encoding="utf-8"))[:JUDGED]
    docs = {name: f"{name}: {inspect.getdoc(pydoc.locate(name))}" for entry in entries for name in entry["relevant"]}
    rows = [
        {
            "qid": entry["id"],
            "query": entry["query"],
            "docid": name,
            "doc": doc,
            "score": float(len({*entry["query"].lower().split()} & {*doc.lower().split()})),
        }
        for entry in entries[:QUERIES]
        for name, doc in docs.items()
    ]
    table = pa.Table.from_pylist(rows)
    judged = [(entry["id"], *judgement) for entry in entries[:QUERIES] for judgement in entry["relevant"].items()]
    return table, [ir_measures.Qrel(*row) for row in judged]


def read_collection(name: str) -> tuple[pa.Table, list[ir_measures.Qrel]]:
    table = pq.read_table(SHARED_DATA / name / "run_bm25.parquet")
    with open(SHARED_DATA / name / "qrels.tsv") as file:
        rows = csv.DictReader(file, delimiter="\t")
        return table, [ir_measures.Qrel(row["qid"], row["docid"], int(row["rel"])) for row in rows]


def compute_ndcg(qrels: list[ir_measures.Qrel], table: pa.Table, scores: np.ndarray) -> float:
    rows = zip(table["qid"].to_pylist(), table["docid"].to_pylist(), map(float, scores), strict=True)
    measure = ir_measures.nDCG @ 10
    return ir_measures.calc_aggregate([measure], qrels, [ir_measures.ScoredDoc(*row) for row in rows])[measure]


def fuse_by_zscore(table: pa.Table, cosines: np.ndarray, alpha: float) -> np.ndarray:
    """The formula over each query's documents."""
    qids, first = table["qid"].to_numpy(zero_copy_only=False), table["score"].to_numpy()
    fused = np.empty(len(table))
    for qid in {*qids}:
        rows = qids == qid
        fused[rows] = formulas.zscore(first[rows].tolist(), cosines[rows].tolist(), alpha, k=0)
    return fused


def test_scores_and_every_fusion_are_those_computed_apart(
    tmp_path: Path, minilm: str, make_config: Callable[..., Config]
) -> None:
    table, qrels = make_collection()
    texts = zip(table["query"].to_pylist(), table["doc"].to_pylist(), strict=True)
    cosines = test_bi_encoder.reference(minilm, [Pair(*pair) for pair in texts])
    pq.write_table(table, tmp_path / "pairs.parquet")
    keys = list(zip(table["qid"].to_pylist(), table["docid"].to_pylist(), strict=True))
    found: list[float] = []
    for alpha in ALPHAS:
        config = make_config(
            str(tmp_path / "pairs.parquet"),
            input={"columns": {"query_id": "qid", "doc_id": "docid"}},
            reranker=SETTINGS,
            fusion={"method": "zscore", "alpha": alpha},
        )
        figures = rerank(config, NoScorer if found else Scorer, InProcess())
        assert (figures["scored_now"] == 0) == bool(found)
        ranked = {(row["query_id"], row["doc_id"]): row for row in pq.read_table(tmp_path / "out/ranked").to_pylist()}
        assert ranked.keys() == {*keys}
        expected = fuse_by_zscore(table, cosines, alpha)
        np.testing.assert_allclose([ranked[key]["rerank_score"] for key in keys], cosines, atol=1e-4)
        np.testing.assert_allclose([ranked[key]["score"] for key in keys], expected, atol=2e-3)
        found.append(compute_ndcg(qrels, table, -np.array([ranked[key]["rank"] for key in keys])))
        best_first = np.lexsort((table["docid"].to_pylist(), -table["score"].to_numpy(), -expected))
        in_order = table.take(best_first)
        assert found[-1] == pytest.approx(compute_ndcg(qrels, in_order, -np.arange(len(table))), abs=0.01)
    assert found[3] > found[0]  # a real model ranks real texts better than shared words do


@pytest.mark.timeout(900)
@pytest.mark.parametrize("collection", [pytest.param(name, marks=on_shared_data) for name in REFERENCE])
def test_the_figures_of_a_real_collection(collection: str, tmp_path: Path, make_config: Callable[..., Config]) -> None:
    """Cranfield has two empty documents: they have no score, and are about 0.2% of its rows."""

    def config(alpha: float) -> Config:
        return make_config(
            str(SHARED_DATA / collection / "run_bm25.parquet"),
            input={"columns": {"query_id": "qid", "doc_id": "docid"}},
            reranker=SETTINGS,
            fusion={"method": "zscore", "alpha": alpha},
            run={"unit_rows": 32768},
        )

    _, qrels = read_collection(collection)
    found: list[float] = []
    for alpha in ALPHAS:
        figures = rerank(config(alpha), NoScorer if found else Scorer)
        assert (figures["scored_now"] == 0) == bool(found)
        ranked = pq.read_table(tmp_path / "out" / "ranked").rename_columns({"query_id": "qid", "doc_id": "docid"})
        found.append(compute_ndcg(qrels, ranked, -ranked["rank"].to_numpy()))
    assert found == pytest.approx(REFERENCE[collection], abs=0.003)


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "collection", [pytest.param("made", marks=pytest.mark.slow), pytest.param("noveleval", marks=on_shared_data)]
)
def test_the_spread_of_the_work_moves_scores_by_no_more_than_rounding(
    collection: str, tmp_path: Path, make_config: Callable[..., Config]
) -> None:
    """One file, one actor, one unit; against seven files, two actors, units of 17 rows."""
    table, _ = make_collection() if collection == "made" else read_collection(collection)
    table = table.slice(0, 700 if collection == "noveleval" else 250)
    table = table.select(["qid", "query", "docid", "doc", "score"])
    for files, folder in [(1, "one"), (7, "seven")]:
        (tmp_path / folder).mkdir()
        size = -(-len(table) // files)
        for i in range(files):
            pq.write_table(table.slice(i * size, size), tmp_path / folder / f"{i}.parquet")
    results = []
    for folder, actors, unit_rows in [("one", 1, 8192), ("seven", 2, 17)]:
        output = tmp_path / f"ranked-{folder}"
        rerank(
            make_config(
                str(tmp_path / folder),
                input={"columns": {"query_id": "qid", "doc_id": "docid"}},
                reranker=SETTINGS,
                workers={"count": actors},
                output={"path": str(output)},
                run={"unit_rows": unit_rows},
            )
        )
        results.append(pa.concat_tables([pq.read_table(output / "ranked")]))
    one, seven = ({(row["query_id"], row["doc_id"]): row for row in result.to_pylist()} for result in results)
    assert one.keys() == seven.keys()
    scores = np.array([[rows[key]["rerank_score"] for key in one] for rows in (one, seven)])
    # Relative 1e-5. A cosine is a sum of products that may cancel, so that float32 rounds it by some 1e-7 of 1 and not
    # of itself: below 0.1 the bound is 1e-6.
    difference = np.abs(scores[0] - scores[1]) / np.maximum(np.abs(scores[0]), 0.1)
    print(f"largest relative difference {difference.max():.1e}; {len(one)} pairs")
    assert difference.max() <= 1e-5
    moved = [key for key in one if one[key]["rank"] != seven[key]["rank"]]
    for query, doc in moved:
        other = next(d for q, d in seven if q == query and seven[q, d]["rank"] == one[query, doc]["rank"])
        assert one[query, doc]["score"] == pytest.approx(one[query, other]["score"], rel=1e-5, abs=1e-5)
