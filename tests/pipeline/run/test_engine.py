"""Whole runs with the real vLLM and the real MiniLM on real collections, against figures computed apart."""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ir_measures
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from actors.worker.actor import Scorer
from pipeline.config import Config
from pipeline.run import rerank
from tests.conftest import SHARED_DATA

ALPHAS = (1, 0.8, 0.5, 0.2, 0)
# nDCG@10 for each alpha, from the README of the collections: transformers, mean pooling, float32, 256 tokens.
REFERENCE = {
    "msmarco-dl19": (0.5058, 0.5361, 0.5992, 0.6556, 0.6424),
    "cranfield": (0.5116, 0.5311, 0.5554, 0.5602, 0.5234),
}
SETTINGS = {"max_query_tokens": 256, "max_doc_tokens": 256}

pytestmark = pytest.mark.skipif(not SHARED_DATA.is_dir(), reason=f"the test collections are not at {SHARED_DATA}")


class NoScorer:
    """Stands where an engine would start, and must not."""

    def __init__(self, **unused: Any):
        raise AssertionError("an engine was started")

    async def __call__(self, batch: Any) -> Any:
        raise AssertionError("an engine was asked")


def ndcg(output: Path, collection: str) -> float:
    with open(SHARED_DATA / collection / "qrels.tsv") as file:
        rows = csv.DictReader(file, delimiter="\t")
        qrels = [ir_measures.Qrel(row["qid"], row["docid"], int(row["rel"])) for row in rows]
    ranked = pq.read_table(output / "ranked").to_pylist()
    run = [ir_measures.ScoredDoc(row["query_id"], row["doc_id"], -row["rank"]) for row in ranked]
    return ir_measures.calc_aggregate([ir_measures.nDCG @ 10], qrels, run)[ir_measures.nDCG @ 10]


@pytest.mark.timeout(900)
@pytest.mark.parametrize("collection", ["msmarco-dl19", pytest.param("cranfield", marks=pytest.mark.slow)])
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

    found: list[float] = []
    for alpha in ALPHAS:
        figures = rerank(config(alpha), NoScorer if found else Scorer)
        assert (figures["scored_now"] == 0) == bool(found)
        found.append(ndcg(tmp_path / "out", collection))
    assert found == pytest.approx(REFERENCE[collection], abs=0.003)


@pytest.mark.timeout(600)
def test_the_spread_of_the_work_moves_scores_by_no_more_than_rounding(
    tmp_path: Path, make_config: Callable[..., Config]
) -> None:
    """One file, one actor, one unit; against seven files, two actors, units of 17 rows."""
    table = pq.read_table(SHARED_DATA / "noveleval" / "run_bm25.parquet").slice(0, 700)
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
