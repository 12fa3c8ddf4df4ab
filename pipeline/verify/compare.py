"""How far two scorings of the same pairs are apart, in scores and in ranks."""

from dataclasses import dataclass

import numpy as np

TOP = 10


@dataclass(frozen=True)
class Comparison:
    """Scores beside others of the same pairs.

    name: of the others. differences: of each pair, |score - other| / (|other| + spread), where spread is the standard
    deviation of the others; nan where one of the two has no score. So it means the same for every family: it is
    relative, and a score near 0 among larger ones counts by these.
    alone: the numbers of pairs that one of the two scored alone. spread: as above.
    flips, orders: of any two pairs of one query, those that the two put in opposite orders, and all. top: the
    share of the first TOP that the two have in common, on average over `queries` queries with more pairs; nan without.
    """

    name: str
    differences: np.ndarray
    alone: list[int]
    spread: float
    flips: int
    orders: int
    top: float
    queries: int

    @property
    def largest(self) -> float:
        """The largest difference; 0 without any."""
        return float(np.nanmax(self.differences)) if self.pairs else 0.0

    @property
    def worst(self) -> int:
        """The number of the pair with the largest difference."""
        return int(np.nanargmax(self.differences))

    @property
    def pairs(self) -> int:
        """Pairs that both scored."""
        return int((~np.isnan(self.differences)).sum())

    def quantile(self, share: float) -> float:
        """A quantile of the differences; 0 without any."""
        return float(np.nanquantile(self.differences, share, method="higher")) if self.pairs else 0.0


def compare(name: str, scores: np.ndarray, others: np.ndarray, queries: np.ndarray) -> Comparison:
    """scores, others: float64, nan without a score. queries: a number for each pair, equal where the query is."""
    both = ~np.isnan(scores) & ~np.isnan(others)
    spread = float(others[both].std()) if both.any() else 0.0
    off, scale = np.abs(scores - others), np.abs(others) + spread
    differences = np.divide(off, scale, out=np.where(off > 0, np.inf, off), where=scale > 0)
    flips = orders = 0
    tops = []
    for query in np.unique(queries[both]):
        own, other = (values[both & (queries == query)] for values in (scores, others))
        one, two = np.triu_indices(len(own), 1)
        flips += int(((own[one] - own[two]) * (other[one] - other[two]) < 0).sum())
        orders += len(one)
        if len(own) > TOP:
            first, second = (set(np.argsort(-values, kind="stable")[:TOP].tolist()) for values in (own, other))
            tops.append(len(first & second) / TOP)
    return Comparison(
        name=name,
        differences=differences,
        alone=np.flatnonzero(np.isnan(scores) != np.isnan(others)).tolist(),
        spread=spread,
        flips=flips,
        orders=orders,
        top=float(np.mean(tops)) if tops else float("nan"),
        queries=len(tops),
    )


def share_explained(comparison: Comparison, rounding: Comparison) -> float:
    """The share of pairs that are no further from float32 than the furthest that transformers' own rounding moved."""
    found = comparison.differences[~np.isnan(comparison.differences)]
    return float((found <= rounding.largest).mean()) if len(found) else float("nan")
