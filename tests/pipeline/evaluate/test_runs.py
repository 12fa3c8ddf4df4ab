"""The rankings of a result, beside those that loops in plain Python make of the same scores."""

import pytest

from pipeline.config import Fusion
from pipeline.evaluate.result import Result, read_judged_pairs
from pipeline.evaluate.runs import FIRST_STAGE, FUSION, RERANKER, fuse_again, list_docs, make_rankings, number_ranks
from pipeline.fusion import METHODS
from tests.results import ranked, some_scores, write_result

SCORES = some_scores(12, 30)


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> Result:
    return read_judged_pairs(write_result(tmp_path_factory.mktemp("result"), ranked(SCORES)), SCORES)


def test_first_stage_reranker_and_fusion(result: Result) -> None:
    found = {name: list_docs(result, order) for name, order in make_rankings(result).items()}
    for query, docs in SCORES.items():

        def reranker(doc: str, docs: dict = docs) -> tuple:
            first, rerank = docs[doc]
            return rerank is None, -(rerank or 0), -first, doc

        assert found[FIRST_STAGE][query] == sorted(docs, key=lambda doc: (-docs[doc][0], doc))
        assert found[RERANKER][query] == sorted(docs, key=reranker)
        rows = [row for row in ranked(SCORES) if row["query_id"] == query]
        assert found[FUSION][query] == [row["doc_id"] for row in rows]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("alpha", [0.0, 0.35, 1.0])
def test_another_fusion_is_what_the_job_would_have_ranked(result: Result, method: str, alpha: float) -> None:
    found = list_docs(result, fuse_again(result, Fusion(method=method, alpha=alpha)))
    expected: dict[str, list[str]] = {}
    for row in ranked(SCORES, method, alpha):
        expected.setdefault(row["query_id"], []).append(row["doc_id"])
    assert found == expected


def test_the_run_s_own_fusion_is_its_own_ranking(result: Result) -> None:
    assert (fuse_again(result, result.fusion) == make_rankings(result)[FUSION]).all()


def test_ranks_and_depth(result: Result) -> None:
    order = make_rankings(result)[FIRST_STAGE]
    assert list_docs(result, order, 3) == {query: docs[:3] for query, docs in list_docs(result, order).items()}
    by_pair = number_ranks(result, order)
    for query, docs in list_docs(result, order).items():
        number = result.query_ids.index(query)
        for rank, doc in enumerate(docs, 1):
            assert by_pair[(result.query == number) & (result.docs == doc)] == rank
    assert (number_ranks(result, make_rankings(result)[FUSION]) == result.rank).all()
