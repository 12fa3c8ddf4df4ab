"""Cohen's kappa: by hand, as scikit-learn 1.9.1 gave it, and as the one that is installed gives it, if any."""

import random
from collections import Counter

import pytest

from pipeline.judge.agreement import Confusion, compute_agreement, split_at

# (seed, pairs, grades) -> kappa of all grades, and of those from 2 on; None where scikit-learn says nan
RECORDED = {
    (0, 50, 4): (0.4646680942184154, 0.478330658105939),
    (1, 200, 4): (0.5461523059467396, 0.5400459954004599),
    (2, 7, 3): (0.3999999999999999, 0.46153846153846156),
    (3, 30, 2): (0.4, None),
    (4, 500, 11): (0.4608084791718018, 0.41314553990610325),
}


def draw_grades(seed: int, pairs: int, grades: int) -> tuple[list[int], list[int]]:
    """Two lists that agree on half of the pairs, and by chance on some of the others."""
    draw = random.Random(seed)
    given = [draw.randrange(grades) for _ in range(pairs)]
    return given, [grade if draw.random() < 0.5 else draw.randrange(grades) for grade in given]


def compute_kappa(given: list[int], judged: list[int], least: int | None = None) -> float | None:
    confusion = Confusion(zip(given, judged, strict=True))
    return compute_agreement(confusion if least is None else split_at(confusion, least)).kappa


def test_kappa_is_the_one_worked_out_by_hand() -> None:
    """p_o = (20 + 15) / 50 = 0.7; p_e = 0.5 * 0.6 + 0.5 * 0.4 = 0.5."""
    agreement = compute_agreement(Counter({(1, 1): 20, (1, 0): 5, (0, 1): 10, (0, 0): 15}))
    assert agreement.share == 0.7
    assert agreement.kappa == pytest.approx((0.7 - 0.5) / (1 - 0.5))


@pytest.mark.parametrize("drawn", RECORDED)
def test_kappa_is_what_scikit_learn_gave(drawn: tuple[int, int, int]) -> None:
    given, judged = draw_grades(*drawn)
    found = compute_kappa(given, judged), compute_kappa(given, judged, least=2)
    assert found == tuple(one if one is None else pytest.approx(one, rel=1e-12) for one in RECORDED[drawn])


@pytest.mark.parametrize("seed", range(20))
def test_kappa_is_that_of_the_scikit_learn_at_hand(seed: int) -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    given, judged = draw_grades(seed, 40 + seed, 2 + seed % 5)
    assert compute_kappa(given, judged) == pytest.approx(metrics.cohen_kappa_score(given, judged), rel=1e-12)


@pytest.mark.parametrize(
    ("given", "judged", "kappa"),
    [
        ([1, 1, 1], [1, 1, 1], None),
        ([0, 1], [1, 0], -1),
        ([0, 0, 0], [0, 1, 2], 0),
        ([0, 1, 2], [0, 1, 2], 1),
        ([-1, 3], [-1, 3], 1),
    ],
)
def test_kappa_at_its_ends(given: list[int], judged: list[int], kappa: float | None) -> None:
    assert compute_kappa(given, judged) == kappa


def test_two_grades_are_told_apart_at_the_least_relevant_one() -> None:
    confusion = Confusion({(0, 1): 1, (1, 2): 2, (2, 1): 4, (3, 2): 8})
    assert split_at(confusion, 1) == {(0, 1): 1, (1, 1): 14}
    assert split_at(confusion, 2) == {(0, 0): 1, (0, 1): 2, (1, 0): 4, (1, 1): 8}
