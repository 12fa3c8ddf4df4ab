"""Measures over pairs of queries, against the formulas of their papers and the examples of their authors."""

import pytest

from pipeline.errors import UsageError
from pipeline.evaluate.paired import Paired, compute_accuracy, compute_p_mrr, describe_paired, measure_pairs


def p_mrr(before: int, after: int) -> float:
    """The change of one document; 1/rank is its reciprocal rank, as in the paper."""
    mrr_og, mrr_new = 1 / before, 1 / after
    return mrr_og / mrr_new - 1 if before > after else 1 - mrr_new / mrr_og


DOCS = [f"d{i}" for i in range(10)]
GRADES = {"q-og": {"d0": 2, "d1": 1, "d2": 1, "d3": 0}, "q-changed": {"d0": 2, "d1": 0, "d3": 1}}


def move(doc: str, rank: int) -> list[str]:
    rest = [other for other in DOCS if other != doc]
    return [*rest[: rank - 1], doc, *rest[rank - 1 :]]


@pytest.mark.parametrize("before, after", [(1, 1), (1, 10), (10, 1), (3, 4), (4, 3), (2, 8)])
def test_p_mrr_of_one_document_is_the_paper_s(before: int, after: int) -> None:
    run = {"q-og": move("d1", before), "q-changed": move("d1", after)}
    grades = {"q-og": {"d1": 1}, "q-changed": {"d1": 0}}
    assert compute_p_mrr(run, grades, "q-og", "q-changed") == pytest.approx(p_mrr(before, after))


@pytest.mark.parametrize(
    "og, changed, expected", [("3210", "3210", 0.0), ("3210", "0321", -0.75), ("0321", "3210", 0.75)]
)
def test_p_mrr_is_that_of_mteb_s_own_test(og: str, changed: str, expected: float) -> None:
    """tests of embeddings-benchmark/mteb: documents with scores 1 to 4, of which `0` became irrelevant."""
    run = {"a-og": [*og], "a-changed": [*changed]}
    assert compute_p_mrr(run, {"a-og": {"0": 1}, "a-changed": {}}, "a-og", "a-changed") == expected


def test_p_mrr_is_the_mean_over_documents_and_then_over_queries() -> None:
    run = {"q-og": DOCS, "q-changed": DOCS[::-1], "r-og": DOCS, "r-changed": DOCS, "s-og": DOCS, "s-changed": DOCS}
    grades = GRADES | {"r-og": {"d5": 1}, "r-changed": {"d5": 0}, "s-og": {"d5": 1}, "s-changed": {"d5": 1}}
    found = measure_pairs("p-MRR", {"fusion": run}, grades)
    assert found.values["fusion"] == pytest.approx(((p_mrr(2, 9) + p_mrr(3, 8)) / 2 + 0) / 2)
    assert (found.pairs, found.missing) == (2, 0)  # nothing became irrelevant for s


def test_a_document_that_is_not_there_ranks_below_the_last() -> None:
    run = {"q-og": DOCS, "q-changed": ["d0", "d4"]}
    assert compute_p_mrr(run, GRADES, "q-og", "q-changed") == pytest.approx((p_mrr(2, 3) + p_mrr(3, 3)) / 2)


PAIR = {"7_q1": {"x": 1, "y": 0}, "7_q2": {"y": 1}}


@pytest.mark.parametrize(
    "one, other, expected",
    [
        ("xy", "yx", 1),
        ("xy", "xy", 0),
        ("yx", "yx", 0),
        ("yx", "xy", 0),
        ("axby", "cyx", 1),
        ("x", "y", 1),
        ("a", "y", 0),
    ],
)
def test_a_pair_is_right_where_both_queries_are(one: str, other: str, expected: int) -> None:
    assert compute_accuracy({"7_q1": [*one], "7_q2": [*other]}, PAIR, "7_q1", "7_q2") == expected


def test_accuracy_is_the_share_of_pairs_and_those_that_are_missing_are_told() -> None:
    grades = {f"{i}_q{side}": {f"{i}{side}": 1} for i in range(5) for side in (1, 2)}
    right = {f"{i}_q{side}": [f"{i}{side}", f"{i}{3 - side}"] for i in range(4) for side in (1, 2)}
    wrong = right | {"0_q1": ["02", "01"], "3_q1": ["32", "31"], "3_q2": ["31", "32"]}
    found = measure_pairs("accuracy", {"first stage": wrong, "fusion": right}, grades)
    assert found == Paired("accuracy", 4, 1, {"first stage": 0.5, "fusion": 1.0})
    assert describe_paired(found) == (
        "accuracy over 4 pairs of queries: first stage 0.500, fusion 1.000; "
        "1 more are not in the result, and are left out."
    )


@pytest.mark.parametrize(
    "measure, grades, run, says",
    [
        ("p-MRR", PAIR, {}, "--paired p-MRR: the judgements have no pair of queries X-og and X-changed to compare"),
        (
            "accuracy",
            PAIR,
            {"7_q1": ["x"]},
            "--paired accuracy: among 1 of the judgements, the result has no pair",
        ),
        ("accuracy", {"a_q1": {"x": 1}, "b_q2": {"y": 1}}, {}, "the judgements have no pair of queries X_q1 and X_q2"),
    ],
)
def test_no_pair_is_an_error(measure: str, grades: dict, run: dict, says: str) -> None:
    with pytest.raises(UsageError) as error:
        measure_pairs(measure, {"fusion": run}, grades)
    assert says in str(error.value)
