"""Fused scores are the formulas of each method, query by query."""

import random
import re
from collections.abc import Iterator
from math import sqrt
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from pipeline.fusion import METHODS
from tests.conftest import ROOT
from tests.formulas import FORMULAS

ALPHAS = [0.0, 0.2, 0.5, 1.0]
K = 60
Query = tuple[list[float], list[float]]  # first-stage scores, reranker scores


def fused(method: str, queries: list[Query], alpha: float, k: int = K) -> list[list[float]]:
    """The fused scores of each query, all of them computed in one call."""
    first = np.array([score for scores, _ in queries for score in scores], dtype=np.float64)
    rerank = np.array([score for _, scores in queries for score in scores], dtype=np.float64)
    sizes = [len(scores) for scores, _ in queries]
    query = np.repeat(np.arange(len(queries)), sizes)
    together = METHODS[method](first, rerank, query, alpha, k).tolist()
    return [together[stop - size : stop] for size, stop in zip(sizes, np.cumsum(sizes), strict=True)]


def random_queries(seed: int) -> list[Query]:
    """Queries of 1 to 40 documents: some with few different scores, so with many ties, some with a single one."""
    rng = random.Random(seed)
    queries = []
    for size in [1, 1, 2, 3, 7, 40, *(rng.randint(1, 40) for _ in range(20))]:
        few = [rng.uniform(-20, 20) for _ in range(rng.choice([1, 2, 5]))]
        scores = [[rng.gauss(0, 10) for _ in range(size)], [rng.choice(few) for _ in range(size)]]
        rng.shuffle(scores)
        queries.append((scores[0], scores[1]))
    return queries


def test_every_method_has_a_formula() -> None:
    assert METHODS.keys() == FORMULAS.keys(), "write its formula, for one query in plain Python, in tests/formulas.py"


@pytest.mark.parametrize("alpha", ALPHAS)
@pytest.mark.parametrize("method", METHODS)
def test_equals_the_formula_query_by_query(method: str, alpha: float) -> None:
    for seed in range(5):
        queries = random_queries(seed)
        expected = [FORMULAS[method](first, rerank, alpha, K) for first, rerank in queries]
        for result, by_formula in zip(fused(method, queries, alpha), expected, strict=True):
            assert result == pytest.approx(by_formula, rel=1e-12, abs=1e-12)


def test_none_is_the_rerankers_score_to_the_bit() -> None:
    assert fused("none", [([3.0, 2.0], [0.1, 0.7])], alpha=1.0) == [[0.1, 0.7]]


def test_zscore_by_hand() -> None:
    # first stage: mean 20, variance (100 + 0 + 100) / 3; reranker: mean 2, variance (1 + 1 + 4) / 3 = 2
    first, rerank = [10.0, 20.0, 30.0], [1.0, 1.0, 4.0]
    expected = [
        0.2 * -10 / sqrt(200 / 3) + 0.8 * -1 / sqrt(2),
        0.2 * 0 / sqrt(200 / 3) + 0.8 * -1 / sqrt(2),
        0.2 * 10 / sqrt(200 / 3) + 0.8 * 2 / sqrt(2),
    ]
    assert fused("zscore", [(first, rerank)], alpha=0.2)[0] == pytest.approx(expected)


def test_minmax_by_hand() -> None:
    first, rerank = [10.0, 20.0, 30.0], [4.0, 1.0, 2.0]
    expected = [0.2 * 0 + 0.8 * 1, 0.2 * (1 / 2) + 0.8 * 0, 0.2 * 1 + 0.8 * (1 / 3)]
    assert fused("minmax", [(first, rerank)], alpha=0.2)[0] == pytest.approx(expected)


def test_rrf_by_hand() -> None:
    first, rerank = [30.0, 20.0, 10.0], [0.2, 0.1, 0.9]
    expected = [0.2 / (60 + 1) + 0.8 / (60 + 2), 0.2 / (60 + 2) + 0.8 / (60 + 3), 0.2 / (60 + 3) + 0.8 / (60 + 1)]
    assert fused("rrf", [(first, rerank)], alpha=0.2)[0] == pytest.approx(expected)


def test_rrf_ties_go_by_the_order_given_in_the_first_stage_and_by_its_rank_in_the_reranker() -> None:
    first, rerank = [5.0, 5.0, 9.0], [0.5, 0.5, 0.5]  # ranks 2, 3, 1 in both
    expected = [0.5 / (10 + rank) + 0.5 / (10 + rank) for rank in (2, 3, 1)]
    assert fused("rrf", [(first, rerank)], alpha=0.5, k=10)[0] == pytest.approx(expected)


@pytest.mark.parametrize("method", ["zscore", "minmax"])
@pytest.mark.parametrize("count", [1, 2, 3, 7, 1000])
@pytest.mark.parametrize("constant", [0.1, -0.3, 1e-300, 1e300, 0.0])
def test_constant_scores_are_exactly_zero(method: str, count: int, constant: float) -> None:
    # 0.1 + 0.1 + 0.1 is not 3 * 0.1: a mean and a std taken from it are off by rounding errors
    (result,) = fused(method, [([constant] * count, [constant] * count)], alpha=0.2)
    assert result == [0.0] * count


def test_constant_scores_of_one_query_leave_the_others_alone() -> None:
    constant, plain = ([0.1] * 3, [0.1] * 3), ([1.0, 3.0], [3.0, 1.0])
    assert fused("zscore", [constant, plain, constant], alpha=0.2) == [
        [0.0] * 3,
        pytest.approx([0.2 * -1 + 0.8 * 1, 0.2 * 1 + 0.8 * -1]),
        [0.0] * 3,
    ]


@pytest.mark.parametrize("unit", [5e-324, 1e-200, 1e-9, 1.0, 1e200, 3e307])
@pytest.mark.parametrize("method, expected", [("zscore", [-sqrt(3 / 2), 0, sqrt(3 / 2)]), ("minmax", [0, 1 / 2, 1])])
def test_scores_may_be_of_any_size(method: str, expected: list[float], unit: float) -> None:
    # e.g. probabilities of whole sequences: their differences are that small, and the squares of those are 0
    scores = [1 * unit, 2 * unit, 3 * unit]
    assert fused(method, [(scores, scores)], alpha=0.2)[0] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("end", [1e308, np.finfo(float).max])
@pytest.mark.parametrize("method, expected", [("zscore", [-sqrt(3 / 2), 0, sqrt(3 / 2)]), ("minmax", [0, 1 / 2, 1])])
def test_scores_may_differ_by_more_than_a_float_holds(method: str, expected: list[float], end: float) -> None:
    scores = [-end, 0.0, end]
    other = random_queries(3)[0]
    result = fused(method, [(scores, scores), other], alpha=0.2)
    assert result[0] == pytest.approx(expected, abs=1e-12)
    assert result[1] == fused(method, [other], alpha=0.2)[0]


@pytest.mark.parametrize("method", METHODS)
def test_no_pairs_at_all(method: str) -> None:
    empty = np.zeros(0)
    assert METHODS[method](empty, empty, np.zeros(0, dtype=np.int64), 0.2, K).tolist() == []


# ranx normalises with the population std (zmuv) and by min and max, as here, and fuses by a weighted sum (wsum).
# It differs in three places, which the queries below keep clear of:
#   equal scores    ranx divides by at least 1e-9, so that the rounding error of 0.1 three times over becomes 1.4e-8;
#                   here they are exactly 0. So are spreads below 1e-9, which ranx leaves close to 0.
#   rrf weights     ranx has none: its sum is twice the one with alpha = 0.5.
#   rrf ties        ranx takes them as its unstable sort leaves them.


@pytest.fixture(scope="module")
def ranx() -> Iterator[ModuleType]:
    """ranx as plain Python: compiling its loops would take longer than everything else in this folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pytest.importorskip("numba").config, "DISABLE_JIT", True)  # others may have imported numba before
        yield pytest.importorskip("ranx")


def fused_by_ranx(ranx: ModuleType, queries: list[Query], **how: Any) -> list[list[float]]:
    def run(stage: int) -> Any:
        return ranx.Run({f"q{q}": {f"d{i}": s for i, s in enumerate(pair[stage])} for q, pair in enumerate(queries)})

    result = ranx.fuse([run(0), run(1)], **how).run
    return [[result[f"q{q}"][f"d{i}"] for i in range(len(first))] for q, (first, _) in enumerate(queries)]


def queries_without_ties(seed: int) -> list[Query]:
    rng = np.random.default_rng(seed)
    return [(rng.normal(0, 10, size).tolist(), rng.normal(0, 1, size).tolist()) for size in (1, 2, 3, 7, 40)]


@pytest.mark.parametrize("alpha", ALPHAS)
@pytest.mark.parametrize("method, norm", [("zscore", "zmuv"), ("minmax", "min-max")])
def test_equals_ranx_weighted_sum(ranx: ModuleType, method: str, norm: str, alpha: float) -> None:
    for seed in range(5):
        queries = queries_without_ties(seed)
        expected = fused_by_ranx(ranx, queries, norm=norm, method="wsum", params={"weights": [alpha, 1 - alpha]})
        for result, by_ranx in zip(fused(method, queries, alpha), expected, strict=True):
            assert result == pytest.approx(by_ranx, rel=1e-12, abs=1e-12)


def test_equals_ranx_rrf(ranx: ModuleType) -> None:
    for seed in range(5):
        queries = queries_without_ties(seed)
        expected = fused_by_ranx(ranx, queries, norm=None, method="rrf", params={"k": K})
        for result, by_ranx in zip(fused("rrf", queries, alpha=0.5), expected, strict=True):
            assert [2 * score for score in result] == pytest.approx(by_ranx, rel=1e-12)


def test_the_docs_list_the_methods_of_the_table() -> None:
    config = (ROOT / "docs" / "config.md").read_text()
    (values,) = re.findall(r"\| `fusion\.method` \| (.*?) \|", config)
    assert re.findall(r"`(\w+)`", values) == [*METHODS]
    _, _, formulas = config.partition("| method | f |")
    assert re.findall(r"^\| `(\w+)` \|", formulas.partition("\n\n")[0], re.MULTILINE) == [*METHODS]
    _, _, mixing = (ROOT / "docs" / "fuse.md").read_text().partition("| `--method` |")
    found = re.findall(r"^\| `(\w+)`", mixing.partition("\n\n")[0], re.MULTILINE)
    assert {*found} == {*METHODS} - {"none"}, "docs/fuse.md has a row for each"
