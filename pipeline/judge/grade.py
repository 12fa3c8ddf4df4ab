"""Scores -> grades, which are whole numbers."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from pipeline.errors import UsageError

MOST = 2**53  # above it a float64 does not tell whole numbers apart


@dataclass(frozen=True)
class Grading:
    """How a score becomes a grade. round: to the nearest whole number, a half up. thresholds: the grade is how many of
    them the score reaches. Neither: scores are whole numbers already. Raises UsageError where both are given, or
    thresholds do not rise."""

    round: bool = False
    thresholds: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if self.round and self.thresholds:
            raise UsageError("--round and --thresholds: one of the two makes grades")
        if not all(low < high for low, high in pairwise(self.thresholds)) or not np.isfinite(self.thresholds).all():
            raise UsageError(f"--thresholds = {' '.join(map(str, self.thresholds))}: should be numbers that rise")

    def make_grades(self, scores: np.ndarray) -> np.ndarray:
        """The grades, int64, of finite scores. Raises ValueError, with the first row and what is wrong with its score,
        where it is no whole number and should be, or is no grade at all."""
        if self.thresholds:
            return np.searchsorted(self.thresholds, scores, side="right").astype(np.int64)
        if (wrong := np.flatnonzero(np.abs(scores) > MOST)).size:
            raise ValueError(int(wrong[0]), "is no grade")
        below = np.floor(scores)
        grades = (below + (scores - below >= 0.5)).astype(np.int64)  # scores + 0.5 would be rounded itself
        if not self.round and (wrong := np.flatnonzero(grades != scores)).size:
            raise ValueError(int(wrong[0]), "is no whole number; --round or --thresholds makes grades of such scores")
        return grades
