"""Gain per query, read back from the picture."""

import numpy as np
import pytest

from pipeline.evaluate.report.gains import BARS, draw_gains
from tests.drawn import find_elements, read_numbers


def test_gains_are_sorted_and_as_long_as_they_are_large() -> None:
    drawn = draw_gains(["a", "b", "c", "d", "e"], np.array([0.1, -0.5, 0.0, 0.4, 1e-12]), "nDCG@10")
    up, down = find_elements(drawn, "rect", "up"), find_elements(drawn, "rect", "down")
    assert [bar[0].text for bar in up] == ["d: +0.400", "a: +0.100"]
    assert [bar[0].text for bar in down] == ["b: \N{MINUS SIGN}0.500"]
    (tall,), (small,), (low,) = (read_numbers(bar, "height") for bar in [*up, *down])
    assert (tall / small, low / small) == pytest.approx((4, 5), rel=0.01)
    assert "2 gained, 2 the same, 1 lost" in drawn


def test_gains_of_very_many_queries_are_of_bounded_size() -> None:
    change = np.linspace(1, -1, 10_000)
    drawn = draw_gains([f"q{i}" for i in range(10_000)], change, "nDCG@10")
    assert len(find_elements(drawn, "rect", "up")) + len(find_elements(drawn, "rect", "down")) <= BARS
    assert "42 queries, q0 first" in drawn
    assert "5000 gained" in drawn


def test_gains_where_nothing_changed() -> None:
    assert "0 gained, 3 the same, 0 lost" in draw_gains(["a", "b", "c"], np.zeros(3), "nDCG@10")
