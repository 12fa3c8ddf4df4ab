"""The evaluation of one result: its figures, and that its parts fit together."""

import json

import pytest

from pipeline.evaluate.evaluation import TUNED, Evaluation
from pipeline.evaluate.measures import DEFAULT_MEASURES
from pipeline.evaluate.qrels import Qrels
from pipeline.evaluate.runs import FIRST_STAGE, FUSION, RERANKER, list_docs
from pipeline.evaluate.significance import compare, correct_by_holm
from pipeline.fusion import METHODS


def test_the_curve_meets_the_rankings(one: Evaluation) -> None:
    zscore = one.curves["zscore"]
    assert zscore[0] == pytest.approx(one.values[RERANKER])
    assert zscore[4] == pytest.approx(one.values[FUSION])  # the run's own alpha, 0.2
    assert set(one.curves) == {*METHODS} - {"none"}


def test_every_comparison_is_corrected_among_those_by_its_measure(one: Evaluation) -> None:
    assert len(one.comparisons) == 4 * len(DEFAULT_MEASURES)
    for row, measure in enumerate(DEFAULT_MEASURES):
        found = [comparison for comparison in one.comparisons if comparison.measure == measure]
        assert [(comparison.after, comparison.before) for comparison in found] == [
            (RERANKER, FIRST_STAGE), (FUSION, FIRST_STAGE), (FUSION, RERANKER), (TUNED, FUSION),
        ]  # fmt: skip
        alone = [compare(one.values[c.before][row], one.values[c.after][row]) for c in found]
        assert [comparison.difference for comparison in found] == alone
        assert [comparison.p_t for comparison in found] == correct_by_holm([difference.p_t for difference in alone])
        assert [comparison.p_bootstrap for comparison in found] == correct_by_holm(
            [found.p_bootstrap for found in alone]
        )


def test_what_the_candidates_hold_and_what_is_judged(one: Evaluation, qrels: Qrels) -> None:
    first = list_docs(one.result, one.orders[FIRST_STAGE])
    found, judged = [], []
    for query, grades in qrels.items():
        relevant = {doc for doc, grade in grades.items() if grade > 0}
        found.append(len(relevant & set(first.get(query, []))) / len(relevant))
        if query in first:
            judged.append(sum(doc in grades for doc in first[query][:10]) / 10)
    assert one.found == pytest.approx(sum(found) / len(found))
    assert one.judged_at_10[FIRST_STAGE] == pytest.approx(sum(judged) / len(judged))


def test_a_judged_query_that_is_not_in_the_result_counts_as_0(one: Evaluation) -> None:
    assert "q12" in one.queries and "q12" not in one.result.query_ids
    assert all(values[:, one.queries.index("q12")].max() == 0 for values in one.values.values())


def test_figures_are_json_and_say_what_alpha_is_what(one: Evaluation) -> None:
    figures = json.loads(json.dumps(one.figures(), allow_nan=False))
    assert figures["means"][FUSION]["nDCG@10"] == pytest.approx(one.mean(FUSION)[0])
    assert figures["alpha"].keys() == {"chosen_by", "method", "folds", "best_on_all"}
    assert figures["curve"]["rrf"]["0.35"] == pytest.approx(one.curves["rrf"][7, 0].mean())
    assert figures["unscored"] == int((~one.result.scored).sum()) > 0
