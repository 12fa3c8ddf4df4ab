"""Scores -> grades: as they are, rounded, or by thresholds."""

import numpy as np
import pytest

from pipeline.errors import UsageError
from pipeline.judge.grade import Grading


@pytest.mark.parametrize(
    ("grading", "scores", "grades"),
    [
        (Grading(), [0.0, 3.0, -2.0, 10.0], [0, 3, -2, 10]),
        (Grading(round=True), [0.49, 0.5, 1.5, 2.5, 2.49], [0, 1, 2, 3, 2]),
        (Grading(round=True), [-0.5, -0.51, -1.5, 0.0], [0, -1, -1, 0]),
        (
            Grading(round=True),
            [0.49999999999999994, 4503599627370497.0, -0.49999999999999994],
            [0, 4503599627370497, 0],
        ),
        (Grading(thresholds=(0.5, 1.5, 2.5)), [0.49, 0.5, 1.5, 2.5, 2.49, -7, 99], [0, 1, 2, 3, 2, 0, 3]),
        (Grading(thresholds=(0.7,)), [0.7, 0.69], [1, 0]),
        (Grading(round=True), [], []),
    ],
)
def test_grades(grading: Grading, scores: list[float], grades: list[int]) -> None:
    assert grading.make_grades(np.array(scores, dtype=np.float64)).tolist() == grades


def test_a_score_that_is_no_whole_number_is_named() -> None:
    with pytest.raises(ValueError) as raised:
        Grading().make_grades(np.array([1.0, 2.0, 2.1, 0.5]))
    assert raised.value.args == (2, "is no whole number; --round or --thresholds makes grades of such scores")
    with pytest.raises(ValueError) as raised:
        Grading(round=True).make_grades(np.array([1.0, 1e19]))
    assert raised.value.args == (1, "is no grade")


@pytest.mark.parametrize(
    ("round", "thresholds", "message"),
    [
        (True, (0.5,), "--round and --thresholds: one of the two makes grades"),
        (False, (1.5, 0.5), "--thresholds = 1.5 0.5: should be numbers that rise"),
        (False, (0.5, 0.5), "should be numbers that rise"),
        (False, (float("nan"),), "should be numbers that rise"),
    ],
)
def test_wrong_gradings(round: bool, thresholds: tuple[float, ...], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Grading(round, thresholds)
