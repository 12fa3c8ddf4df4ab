"""Small pictures of intervals."""

import pytest

from pipeline.evaluate.evaluation import Comparison
from pipeline.evaluate.report.intervals import draw_interval, find_scale
from pipeline.evaluate.runs import FUSION
from pipeline.evaluate.significance import Difference
from tests.drawn import find_elements, read_numbers


@pytest.mark.parametrize(("mean", "p", "kind"), [(0.2, 0.01, "up"), (-0.2, 0.01, "down"), (0.2, 0.05, "even")])
def test_an_interval_is_coloured_by_its_corrected_p(mean: float, p: float, kind: str) -> None:
    found = Difference(mean, mean - 0.1, mean + 0.1, 0.001, 0.001, 1, 1, 1)
    drawn = draw_interval(Comparison("nDCG@10", FUSION, "first stage", found, 0.5, p), *find_scale([found]))
    (dot,), (line,) = find_elements(drawn, "circle", kind), find_elements(drawn, "line", "interval")
    left, right = read_numbers(line, "x1", "x2")
    assert read_numbers(dot, "cx")[0] == pytest.approx((left + right) / 2, abs=0.01)


def test_an_interval_of_one_query_is_a_dot() -> None:
    found = Difference(0.0, None, None, None, None, 0, 1, 0)
    drawn = draw_interval(Comparison("nDCG@10", FUSION, "first stage", found, None, None), *find_scale([found]))
    assert find_elements(drawn, "circle", "even") and not find_elements(drawn, "line", "interval")
