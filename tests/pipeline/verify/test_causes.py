"""The cause of a difference, for scores that were changed in a known way."""

from collections.abc import Callable

import numpy as np
import pytest

from pipeline.verify.causes import explain
from pipeline.verify.compare import compare

RNG = np.random.default_rng(3)
LOGITS = RNG.normal(size=100) * 4
TOKENS = RNG.permutation(np.arange(100, 200))
NOISE = RNG.normal(size=100)


def sigmoid(values: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-values))


def cut(values: np.ndarray) -> np.ndarray:
    return np.where(TOKENS >= 160, values + 3 * NOISE + 5, values)


@pytest.mark.parametrize(
    ("scores", "change", "words"),
    [
        (LOGITS, sigmoid, "the others are the sigmoid"),
        (sigmoid(LOGITS), sigmoid, "the sigmoid is taken twice"),
        (LOGITS, np.negative, "turned round"),
        (sigmoid(LOGITS), lambda values: 1 - values, "turned round"),
        (sigmoid(LOGITS), lambda values: np.log(values / (1 - values)), "these scores are the sigmoid"),
        (LOGITS, lambda values: values / 2, "the others are 0.5 times these scores: "),
        (LOGITS, lambda values: 3 * values + 7, "3 times these scores, and 7 more"),
        (LOGITS, cut, "only pairs of 160 tokens or more differ"),
        (LOGITS, lambda values: -values + NOISE, "rank the other way round"),
        (LOGITS, lambda values: values * (1 + 0.02 * NOISE / np.abs(NOISE).max()), "half precision in a part"),
        (LOGITS, lambda values: NOISE, "large differences: another tokenizer"),
    ],
)
def test_a_change_is_named(scores: np.ndarray, change: Callable, words: str) -> None:
    others = change(scores)
    off = compare("", scores, others, np.zeros(100)).differences
    assert off.max() > 1e-3
    assert words in explain(scores, others, off, TOKENS, 1e-3)


@pytest.mark.parametrize("known", [0, 1, 2])
def test_of_a_few_pairs_nothing_is_said(known: int) -> None:
    scores = np.array([1.0] * known + [float("nan")] * 5)
    off = compare("", scores, scores + 1, np.zeros(len(scores))).differences
    assert explain(scores, scores + 1, off, TOKENS[: len(scores)], 1e-3) == "there are too few pairs to say why"
