"""How well two judgements of the same pairs agree."""

from collections import Counter
from dataclasses import dataclass

Confusion = Counter[tuple[int, int]]  # (given grade, the judge's) -> pairs


@dataclass(frozen=True)
class Agreement:
    """share: of the pairs, with the same grade. kappa: Cohen's; None where it has no value."""

    share: float
    kappa: float | None


def compute_agreement(confusion: Confusion) -> Agreement:
    """The agreement of one pair or more.

    Cohen's kappa is (p_o - p_e) / (1 - p_e): p_o is the share of the pairs with the same grade, and p_e the one that
    chance would give if both kept how often they use each grade. It has no value where both use one and the same grade
    alone. Source: Cohen (1960), A coefficient of agreement for nominal scales.
    """
    pairs, same = confusion.total(), sum(count for (given, judged), count in confusion.items() if given == judged)
    givens, judges = Counter[int](), Counter[int]()
    for (given, judged), count in confusion.items():
        givens[given] += count
        judges[judged] += count
    chance = sum(givens[grade] * judges[grade] for grade in givens)  # times pairs ** 2
    if chance == pairs**2:
        return Agreement(same / pairs, None)
    return Agreement(same / pairs, (same * pairs - chance) / (pairs**2 - chance))


def split_at(confusion: Confusion, least_grade: int) -> Confusion:
    """The same pairs with two grades: 1 from `least_grade` on, and 0 below."""
    two = Confusion()
    for (given, judged), count in confusion.items():
        two[int(given >= least_grade), int(judged >= least_grade)] += count
    return two
