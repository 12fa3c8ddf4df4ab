"""Differences, flips and overlaps against loops in plain Python."""

import itertools

import numpy as np
import pytest

from pipeline.verify.compare import compare, share_explained

NAN = float("nan")
RNG = np.random.default_rng(7)
QUERIES = np.repeat(np.arange(4), [30, 12, 10, 1])
EXACT = RNG.normal(size=53)


def test_differences_are_relative_to_the_score_and_the_spread() -> None:
    scores = EXACT + RNG.normal(size=53) / 10
    found = compare("", scores, EXACT, QUERIES)
    mean = sum(EXACT) / 53
    spread = (sum((score - mean) ** 2 for score in EXACT) / 53) ** 0.5
    expected = [abs(a - b) / (abs(b) + spread) for a, b in zip(scores, EXACT, strict=True)]
    np.testing.assert_allclose(found.differences, expected)
    assert found.largest == pytest.approx(max(expected)) and expected[found.worst] == max(expected)
    assert found.quantile(0.5) == pytest.approx(sorted(expected)[26])


@pytest.mark.parametrize("noise", [0.0, 0.1, 1.0])
def test_flips_and_overlaps_are_those_of_all_couples_and_tops(noise: float) -> None:
    scores = (EXACT + RNG.normal(size=53) * noise).round(1)  # with ties
    found = compare("", scores, EXACT, QUERIES)
    flips, orders, overlaps = 0, 0, []
    for query in range(4):
        mine = [i for i in range(53) if QUERIES[i] == query]
        couples = [*itertools.combinations(mine, 2)]
        flips += sum(
            (scores[i] < scores[j] and EXACT[i] > EXACT[j]) or (scores[i] > scores[j] and EXACT[i] < EXACT[j])
            for i, j in couples
        )
        orders += len(couples)
        tops = [{*sorted(mine, key=lambda i: -values[i])[:10]} for values in (scores, EXACT)]
        overlaps += [len(tops[0] & tops[1]) / 10] if len(mine) > 10 else []
    assert (found.flips, found.orders, found.queries) == (flips, orders, 2)
    assert found.top == pytest.approx(sum(overlaps) / 2)
    assert noise == 0 or flips


@pytest.mark.parametrize(
    ("scores", "others", "alone", "pairs", "largest"),
    [
        ([1.0, NAN, 3.0], [1.0, 2.0, NAN], [1, 2], 1, 0.0),
        ([NAN, NAN], [1.0, NAN], [0], 0, 0.0),
        ([5.0, 5.0], [5.0, 5.0], [], 2, 0.0),
        ([0.0, 1.0], [0.0, 0.0], [], 2, float("inf")),  # no spread, and a score of 0
        ([2.0, 4.0], [2.0, 3.0], [], 2, 1 / 3.5),
    ],
)
def test_pairs_without_a_score_or_without_a_spread(
    scores: list[float], others: list[float], alone: list[int], pairs: int, largest: float
) -> None:
    found = compare("", np.array(scores), np.array(others), np.zeros(len(scores)))
    assert (found.alone, found.pairs) == (alone, pairs)
    assert found.largest == pytest.approx(largest)


@pytest.mark.parametrize(("factor", "share"), [(0.5, 1.0), (1.0, 1.0), (100.0, 0.5)])
def test_the_share_that_rounding_explains(factor: float, share: float) -> None:
    off = np.where(np.arange(53) % 2, 1e-3, 1e-3 * factor) * (np.abs(EXACT) + EXACT.std())
    furthest = np.where(np.arange(53) == 7, 1.01e-3, 1e-5) * (np.abs(EXACT) + EXACT.std())
    rounding = compare("", EXACT + furthest, EXACT, QUERIES)
    assert share_explained(compare("", EXACT + off, EXACT, QUERIES), rounding) == pytest.approx(share, abs=0.02)
