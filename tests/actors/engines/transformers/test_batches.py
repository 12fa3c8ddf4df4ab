"""Batches of like lengths: every sequence once, little padding, none above a limit that two sequences pass."""

import numpy as np
import pytest

from actors.engines.transformers.batches import cut_batches

RANDOM = np.random.default_rng(7)
LENGTHS: dict[str, list[int]] = {
    "one": [5],
    "equal": [64] * 100,
    "mixed": RANDOM.integers(1, 512, 2048).tolist(),
    "skewed": RANDOM.lognormal(4, 1, 2048).astype(int).clip(1, 8000).tolist(),
    "two kinds": [10] * 50 + [500] * 50,
    "far apart": [1, 10, 100, 1000, 10_000],
    "none": [],
}


@pytest.mark.parametrize("name", LENGTHS)
@pytest.mark.parametrize("most", [1, 500, 4096])
def test_every_sequence_is_in_one_batch_and_little_is_padding(name: str, most: int) -> None:
    lengths = LENGTHS[name]
    batches = cut_batches(lengths, [(lengths, most), ([1] * len(lengths), 32)])
    assert sorted(i for batch in batches for i in batch) == [*range(len(lengths))]
    for batch in batches:
        longest = max(lengths[i] for i in batch)
        assert len(batch) == 1 or longest * len(batch) <= most
        assert len(batch) <= 32
        assert 5 * sum(lengths[i] for i in batch) >= 4 * longest * len(batch)


def test_batches_are_filled() -> None:
    batches = cut_batches(LENGTHS["mixed"], [(LENGTHS["mixed"], 4096)])
    tokens = sum(LENGTHS["mixed"])
    assert len(batches) < 1.5 * tokens / 4096


def test_each_limit_holds_for_the_largest_size_in_a_batch() -> None:
    lengths, rows = [10, 10, 10, 10], [1, 6, 1, 1]
    assert cut_batches(lengths, [(lengths, 100), (rows, 12)]) == [[0, 1], [2, 3]]


def test_the_longest_come_first() -> None:
    assert cut_batches([3, 9, 6, 8], [([1] * 4, 2)]) == [[1, 3], [2], [0]]
