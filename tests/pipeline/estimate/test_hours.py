"""Hours of scoring, each expected value written as its formula."""

import pytest

from pipeline.estimate.hours import estimate_hours
from pipeline.estimate.rate import Rate

HOUR = 3600


def test_a_pair_rate_alone() -> None:
    took = estimate_hours(7200, 80, 8, False, Rate("given", (2, 2)))
    assert took.expected == pytest.approx(7200 / 2 / HOUR)
    assert (took.least, took.most) == pytest.approx((0.8 * 1, 1.2 * 1))


def test_longer_prompts_than_in_the_earlier_run_take_longer() -> None:
    took = estimate_hours(7200, 80, 8, False, Rate("a run", (2, 2), prompt_tokens=40))
    assert took.expected == pytest.approx(7200 / 2 / HOUR * 80 / 40)
    assert took.least == pytest.approx(0.8 * 1), "the least is by pairs"
    assert took.most == pytest.approx(1.2 * 1 * (80 + 8) / 40), "the most by tokens, and as sure as they are"


def test_a_model_that_writes_is_timed_by_pairs() -> None:
    took = estimate_hours(7200, 80, 8, True, Rate("a run", (2, 2), prompt_tokens=40))
    assert took.expected == pytest.approx(1) and len(took.formula) == 2


def test_the_rate_of_an_autoscaling_pool_makes_the_range_wider() -> None:
    took = estimate_hours(7200, 80, 0, False, Rate("a pool", (1, 4), prompt_tokens=80))
    assert (took.least, took.most) == pytest.approx((0.8 * 0.5, 1.2 * 2))
