"""The weight of the first stage: what each alpha would have given, and the best one, never judged on what chose it."""

from dataclasses import dataclass

import numpy as np

from pipeline.config import Fusion
from pipeline.evaluate.measures import Judge
from pipeline.evaluate.result import Result
from pipeline.evaluate.runs import fuse_again, list_docs

GRID = [step / 20 for step in range(21)]
FOLDS = 5
SEED = 0


@dataclass(frozen=True)
class CrossValidated:
    """alphas: for each fold, the one that was best on the other folds. fold: the fold of each query. best: the alpha
    that is best on all queries, for other data of the kind; nothing here is judged with it."""

    alphas: list[float]
    fold: np.ndarray
    best: float


def compute_curve(result: Result, fusion: Fusion, judge: Judge, depth: int | None) -> np.ndarray:
    """(alphas of the grid x measures x judged queries): the stored scores, fused again with each alpha."""
    at = [fusion.model_copy(update={"alpha": alpha}) for alpha in GRID]
    return np.stack([judge(list_docs(result, fuse_again(result, fusion), depth)) for fusion in at])


def cross_validate(values: np.ndarray) -> CrossValidated | None:
    """Chooses alpha by k-fold cross-validation over queries. values: (alphas of the grid x queries), of one measure.

    A fold's alpha is the one with the highest mean over the queries of the other folds, the smallest of equal ones.
    Folds are of equal size to one, and drawn with a fixed seed. None with fewer than two queries.
    """
    queries = values.shape[1]
    folds = min(FOLDS, queries)
    if folds < 2:
        return None
    fold = np.empty(queries, dtype=np.int64)
    fold[np.random.default_rng(SEED).permutation(queries)] = np.arange(queries) % folds
    return CrossValidated(
        alphas=[GRID[_find_best(values[:, fold != number])] for number in range(folds)],
        fold=fold,
        best=GRID[_find_best(values)],
    )


def judge_held_out(chosen: CrossValidated, values: np.ndarray) -> np.ndarray:
    """(measures x queries): each query with the alpha that the other folds chose. values: of `compute_curve`."""
    at = np.array([GRID.index(alpha) for alpha in chosen.alphas])[chosen.fold]
    return values[at, :, np.arange(values.shape[2])].T


def _find_best(values: np.ndarray) -> int:
    means = values.mean(axis=1)
    return int(np.argmax(means > means.max() - 1e-12))  # the same rankings may differ by the rounding of a sum
