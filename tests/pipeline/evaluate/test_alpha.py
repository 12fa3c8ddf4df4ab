"""The curve of alpha and the cross-validation, beside loops that say every step."""

from pathlib import Path

import numpy as np
import pytest

from pipeline.evaluate.alpha import FOLDS, GRID, SEED, compute_curve, cross_validate, judge_held_out
from pipeline.evaluate.evaluation import TUNED, evaluate
from pipeline.evaluate.measures import find_depth, make_judge, parse_measures
from pipeline.evaluate.result import Result, read_judged_pairs
from pipeline.fusion import METHODS
from tests.results import ranked, some_qrels, some_scores, write_result

QUERIES = 14
SCORES, QRELS = some_scores(QUERIES, 30), some_qrels(QUERIES, 30)
MEASURES = parse_measures(["nDCG@10", "RR@10"])


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> Result:
    return read_judged_pairs(write_result(tmp_path_factory.mktemp("result"), ranked(SCORES)), QRELS)


def run_at(alpha: float, method: str = "zscore") -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for row in ranked(SCORES, method, alpha):
        found.setdefault(row["query_id"], []).append(row["doc_id"])
    return found


@pytest.mark.parametrize("method", [method for method in METHODS if method != "none"])
def test_curve_is_what_a_run_with_each_alpha_would_have(result: Result, method: str) -> None:
    values = compute_curve(
        result, result.fusion.model_copy(update={"method": method}), make_judge(MEASURES, QRELS), find_depth(MEASURES)
    )
    expected = [make_judge(MEASURES, QRELS)(run_at(alpha, method)) for alpha in GRID]
    assert values.shape == (21, 2, QUERIES)
    assert values == pytest.approx(np.array(expected))


def test_cross_validation_by_a_written_out_loop(result: Result) -> None:
    ndcg = {
        alpha: dict(zip(QRELS, make_judge(MEASURES, QRELS)(run_at(alpha))[0].tolist(), strict=True)) for alpha in GRID
    }
    queries = list(QRELS)
    shuffled = [queries[place] for place in np.random.default_rng(SEED).permutation(len(queries))]
    folds = [shuffled[number::FOLDS] for number in range(FOLDS)]
    chosen: list[float] = []
    judged: dict[str, float] = {}
    for fold in folds:
        others = [query for query in queries if query not in fold]
        best, best_mean = -1.0, -1.0
        for alpha in GRID:
            mean = sum(ndcg[alpha][query] for query in others) / len(others)
            if mean > best_mean + 1e-12:
                best, best_mean = alpha, mean
        chosen.append(best)
        judged |= {query: ndcg[best][query] for query in fold}
    assert len(set(chosen)) > 1  # or every choice would do

    found = evaluate("x", result, QRELS, MEASURES)
    assert found.chosen and found.chosen.alphas == chosen
    assert dict(zip(found.queries, found.values[TUNED][0].tolist(), strict=True)) == pytest.approx(judged)
    assert found.chosen.best == max(GRID, key=lambda alpha: sum(ndcg[alpha].values()))


def test_a_query_has_no_say_in_its_own_alpha() -> None:
    """One query likes alpha 1 more than all others together like alpha 0; it is judged with 0, the others with 1."""
    values = np.zeros((len(GRID), 10))
    values[0, :9], values[20, 9] = 0.1, 1.0
    chosen = cross_validate(values)
    assert chosen
    mine = chosen.fold[9]
    assert chosen.alphas == [0.0 if fold == mine else 1.0 for fold in range(FOLDS)]
    assert judge_held_out(chosen, values[:, None])[0, 9] == 0.0
    assert chosen.best == 1.0


def test_folds_are_of_equal_size_and_the_same_each_time() -> None:
    values = np.random.default_rng(1).random((len(GRID), 23))
    first, second = cross_validate(values), cross_validate(values)
    assert first and second
    assert sorted(np.bincount(first.fold)) == [4, 4, 5, 5, 5]
    assert (first.fold == second.fold).all() and first.alphas == second.alphas


def test_few_queries() -> None:
    assert cross_validate(np.zeros((len(GRID), 1))) is None
    two = cross_validate(np.zeros((len(GRID), 2)))
    assert two and two.alphas == [0.0, 0.0]  # of equal ones the smallest


def test_equal_up_to_rounding_counts_as_equal() -> None:
    values = np.full((len(GRID), 4), 0.3)
    values[7] += 1e-16
    found = cross_validate(values)
    assert found and found.best == 0.0


def test_one_judged_query_has_no_tuned_fusion(tmp_path: Path) -> None:
    url = write_result(tmp_path, ranked(some_scores(1, 9)))
    qrels = {"q0": {"d1": 1}}
    found = evaluate("x", read_judged_pairs(url, qrels), qrels, MEASURES)
    assert found.chosen is None and TUNED not in found.values
