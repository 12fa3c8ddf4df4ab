"""The tests beside published figures, the formulas written out, scipy, and a loop of resampling."""

import random
from math import sqrt
from statistics import fmean, stdev

import numpy as np
import pytest
from scipy import stats

from pipeline.evaluate.significance import RESAMPLES, SEED, compare, correct_by_holm

# Hours of sleep gained with two drugs: Student, Biometrika 1908. R's t.test(paired = TRUE) gives t = -4.0621, df = 9,
# p-value = 0.002833 for them.
DRUG_1 = np.array([0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0])
DRUG_2 = np.array([1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4])


def measured(queries: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Values as measures give them: between 0 and 1, many of them equal before and after."""
    draw = np.random.default_rng(seed)
    before = draw.choice([0.0, 0.25, 0.5, 1.0], queries)
    after = np.where(draw.random(queries) < 0.4, before, np.clip(before + draw.normal(0.05, 0.3, queries), 0, 1))
    return before, after


def test_students_own_example() -> None:
    found = compare(DRUG_1, DRUG_2)
    assert found.mean == pytest.approx(1.58)
    assert found.p_t == pytest.approx(0.002833, abs=5e-7)
    assert (found.wins, found.ties, found.losses) == (9, 1, 0)


def test_t_test_by_its_formula() -> None:
    before, after = measured(80)
    change = (after - before).tolist()
    t = fmean(change) / (stdev(change) / sqrt(len(change)))
    assert compare(before, after).p_t == pytest.approx(2 * stats.t.sf(abs(t), len(change) - 1))
    assert compare(before, after).p_t == pytest.approx(stats.ttest_rel(after, before).pvalue)


def test_interval_is_scipy_s() -> None:
    before, after = measured(80)
    expected = stats.bootstrap(
        (after, before),
        lambda a, b, axis: np.mean(a, axis) - np.mean(b, axis),
        paired=True,
        n_resamples=RESAMPLES,
        method="percentile",
        rng=np.random.default_rng(SEED),
    ).confidence_interval
    found = compare(before, after)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-9)


def test_bootstrap_by_a_loop() -> None:
    """A loop with another generator: equal but for the chance of 10,000 draws, whose standard error is below 0.005."""
    before, after = measured(40, seed=3)
    change, draw = (after - before).tolist(), random.Random(0)
    mean = fmean(change)
    means = sorted(fmean(draw.choices(change, k=len(change))) for _ in range(RESAMPLES))
    found = compare(before, after)
    as_far = sum(abs(resampled - mean) >= abs(mean) for resampled in means)
    assert 0.02 < as_far / RESAMPLES < 0.9
    assert found.p_bootstrap == pytest.approx((1 + as_far) / (1 + RESAMPLES), abs=0.02)
    assert found.low == pytest.approx(means[int(0.025 * RESAMPLES)], abs=0.01)
    assert found.high == pytest.approx(means[int(0.975 * RESAMPLES)], abs=0.01)


def test_the_same_twice() -> None:
    before, after = measured(50)
    assert compare(before, after) == compare(before, after)


def test_where_nothing_changed() -> None:
    found = compare(DRUG_1, DRUG_1 + 1e-12)
    assert (found.mean, found.low, found.high, found.p_t, found.p_bootstrap) == (0, 0, 0, 1, 1)
    assert (found.wins, found.ties, found.losses) == (0, 10, 0)


def test_where_all_changed_alike() -> None:
    found = compare(np.zeros(5), np.full(5, 0.25))
    assert (found.mean, found.low, found.high, found.p_t) == (0.25, 0.25, 0.25, 0.0)


def test_one_query_proves_nothing() -> None:
    found = compare(np.array([0.25]), np.array([0.75]))
    assert (found.mean, found.low, found.high, found.p_t, found.p_bootstrap) == (0.5, None, None, None, None)
    assert (found.wins, found.ties, found.losses) == (1, 0, 0)


def test_holm() -> None:
    """R: p.adjust(c(0.01, 0.04, 0.03, 0.005), "holm") gives 0.03 0.06 0.06 0.02."""
    assert correct_by_holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert correct_by_holm([0.6, None, 0.7]) == [1.0, None, 1.0]
    assert correct_by_holm([]) == []
