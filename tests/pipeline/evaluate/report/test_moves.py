"""Where documents moved, counted by hand."""

import numpy as np

from pipeline.evaluate.report.moves import count_moves


def test_moves() -> None:
    found = count_moves(np.array([1, 12, 30, 3, 10, 7]), np.array([1, 2, 10, 11, 30, 7]))
    assert found.names == ["1", "2\N{EN DASH}5", "6\N{EN DASH}10", "11\N{EN DASH}20", "21\N{EN DASH}30"]
    assert found.counts == [
        [1, 0, 0, 0, 0],
        [0, 0, 0, 1, 0],
        [0, 0, 1, 0, 1],
        [0, 1, 0, 0, 0],
        [0, 0, 1, 0, 0],
    ]
    assert (found.into, found.out) == (2, 2)
    assert count_moves(np.array([], int), np.array([], int)).counts == [[0]]
