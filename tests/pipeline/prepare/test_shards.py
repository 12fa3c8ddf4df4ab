"""pipeline/prepare/shards.py: shards of even size with whole queries in each. test_run.py sees the files."""

import numpy as np
import pytest

from pipeline.prepare.shards import find_even_bounds


@pytest.mark.parametrize(
    "sizes, shard_rows, expected",
    [
        ([10] * 6, 20, [0, 20, 40, 60]),
        ([10] * 6, 1000, [0, 60]),
        ([10] * 6, 1, [0, 10, 20, 30, 40, 50, 60]),
        ([7, 7, 7, 7], 14, [0, 14, 28]),
        ([1, 99, 1, 99], 50, [0, 1, 100, 101, 200]),
        ([1, 1, 100], 51, [0, 2, 102]),
        ([100, 1, 1], 51, [0, 100, 102]),
        ([5], 2, [0, 5]),
    ],
)
def test_bounds_are_the_ends_of_queries_nearest_to_even(sizes: list[int], shard_rows: int, expected: list[int]) -> None:
    starts = np.cumsum([0, *sizes])[:-1]
    assert find_even_bounds(starts, sum(sizes), shard_rows).tolist() == expected


def test_shards_differ_by_less_than_two_queries() -> None:
    rng = np.random.default_rng(1)
    sizes = rng.integers(1, 101, 5000)
    starts = np.cumsum([0, *sizes])
    bounds = find_even_bounds(starts[:-1], int(starts[-1]), 5000)
    assert set(bounds) <= set(starts)
    assert len(bounds) - 1 == round(starts[-1] / 5000)
    assert np.ptp(np.diff(bounds)) <= 200
