"""Whether one ranking is better than another on the same queries, by paired tests."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

RESAMPLES = 10_000
SEED = 0
BATCH_NUMBERS = 2_000_000  # numbers that are drawn at once
ROUNDING = 1e-9  # a difference below this is rounding


@dataclass(frozen=True)
class Difference:
    """after - before, over queries.

    mean; low and high, the 95% confidence interval of the mean by a paired bootstrap (percentiles); p_t of the paired
    two-sided t test; p_bootstrap, how often a resample of the differences, shifted to a mean of 0, has a mean as far
    from it as theirs: (1 + such resamples) / (1 + resamples). With one query there is no interval and no p (None).
    """

    mean: float
    low: float | None
    high: float | None
    p_t: float | None
    p_bootstrap: float | None
    wins: int
    ties: int
    losses: int


def compare(before: np.ndarray, after: np.ndarray, resamples: int = RESAMPLES) -> Difference:
    """Compares the values of a measure for the same queries.

    Sources: Smucker, Allan and Carterette, CIKM 2007 (which tests suit retrieval); Efron and Tibshirani 1993,
    algorithm 16.2 (the shifted bootstrap).
    """
    change = after - before
    change = np.where(np.abs(change) < ROUNDING, 0.0, change)
    wins, losses = int((change > 0).sum()), int((change < 0).sum())
    counts = (wins, len(change) - wins - losses, losses)
    mean = float(change.mean())
    if len(change) < 2:
        return Difference(mean, None, None, None, None, *counts)
    if not change.any():
        return Difference(0.0, 0.0, 0.0, 1.0, 1.0, *counts)
    bootstrap = stats.bootstrap(
        (change,),
        np.mean,
        n_resamples=resamples,
        method="percentile",
        batch=max(1, BATCH_NUMBERS // len(change)),
        rng=np.random.default_rng(SEED),
    )
    low, high = bootstrap.confidence_interval
    as_far = np.abs(bootstrap.bootstrap_distribution - mean) >= abs(mean) - ROUNDING
    # Few queries can show little, however alike they are: no test of signs and sizes gives less than this.
    p_bootstrap = max((1 + as_far.sum()) / (1 + resamples), 2.0 ** (1 - len(change)))
    p_t = 0.0 if np.ptp(change) == 0 else stats.ttest_rel(after, before).pvalue
    return Difference(mean, float(low), float(high), float(p_t), float(p_bootstrap), *counts)


def correct_by_holm(p: Sequence[float | None]) -> list[float | None]:
    """p-values of a family of comparisons, corrected so that all of them together err with the probability of one.

    Source: Holm, Scandinavian Journal of Statistics 1979. A comparison without a p-value does not count.
    """
    known = sorted((value, at) for at, value in enumerate(p) if value is not None)
    corrected: list[float | None] = [None] * len(p)
    highest = 0.0
    for smaller, (value, at) in enumerate(known):
        highest = max(highest, min(1.0, value * (len(known) - smaller)))
        corrected[at] = highest
    return corrected
