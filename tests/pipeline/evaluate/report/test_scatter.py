"""First stage against reranker, read back from the picture."""

from math import sqrt
from statistics import fmean

import numpy as np
import pytest

from pipeline.evaluate.report.scatter import DOTS, draw_scatter, measure_agreement
from tests.drawn import find_elements, read_numbers


def test_scatter_is_in_standard_deviations_of_the_query() -> None:
    first, rerank, query = np.array([1.0, 2.0, 3.0, 100.0, 100.0]), np.array([3.0, 2.0, 1.0, 5.0, 7.0]), [0, 0, 0, 1, 1]
    drawn = draw_scatter(np.array(query), first, rerank, np.array([True, False, False, False, True]))
    (x0, y0), (x1, y1) = (read_numbers(dot, "cx", "cy") for dot in find_elements(drawn, "circle", "dot"))
    zero_x, zero_y = (
        read_numbers(line, at)[0] for line, at in zip(find_elements(drawn, "line", "axis"), ("x1", "y1"), strict=True)
    )
    assert x1 == zero_x  # all first-stage scores of its query are equal
    # -1.22 and +1.22 standard deviations (population), and +1 in the other query
    assert (y0 - zero_y) / (y1 - zero_y) == pytest.approx(sqrt(1.5), abs=0.01)
    assert x0 < zero_x and y1 < zero_y
    assert len(find_elements(drawn, "rect", "cell")) == 5


def test_scatter_is_of_bounded_size() -> None:
    draw = np.random.default_rng(0)
    first, rerank = draw.normal(size=(2, 50_000))
    drawn = draw_scatter(np.zeros(50_000, int), first, rerank, np.ones(50_000, bool))
    assert len(find_elements(drawn, "circle", "dot")) == DOTS
    assert len(drawn) < 150_000


def test_agreement_by_the_formula_of_ranks_without_ties() -> None:
    first, rerank = np.array([3.0, 1.0, 2.0, 4.0, 1.0, 2.0, 5.0]), np.array([9.0, 7.0, 8.0, 6.0, 5.0, 1.0, 1.0])
    query = np.array([0, 0, 0, 0, 1, 1, 2])
    # 1 - 6 * sum of d^2 / (n (n^2 - 1)): ranks 3 1 2 4 and 4 2 3 1; 1 2 and 2 1; the last query has one pair
    expected = [1 - 6 * (1 + 1 + 1 + 9) / (4 * 15), -1.0]
    assert measure_agreement(query, first, rerank) == pytest.approx(fmean(expected))
    assert measure_agreement(query, np.ones(7), rerank) is None
