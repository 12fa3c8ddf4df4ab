"""The formulas that `reranker.score` names, held against sums written out and scipy's functions."""

from typing import Any, get_args

import numpy as np
import pytest
from scipy.special import expit, softmax

from actors.rerankers import RERANKERS
from actors.rerankers.contract import Reply
from actors.rerankers.formulas import SCORES

LOGPROBS = [
    [-0.3, -1.9],
    [-4.0, -0.02],
    [-30.0, -700.0],  # a probability of either that is next to nothing
]
LOGITS = [-12.5, 0.0, 3.25, 40.0, -800.0]


def compute(score: str, values: list[float], logits: list[float]) -> float:
    return SCORES[score](np.array(values, dtype=np.float64), np.array(logits, dtype=np.float64))


@pytest.mark.parametrize("logits", LOGPROBS)
@pytest.mark.parametrize(("values", "relevant"), [([1, 0], 0), ([0, 1], 1), ([-2, 5], 1)])
def test_the_logit_of_two_labels_is_that_of_the_higher_value_minus_the_other(
    values: list[float], relevant: int, logits: list[float]
) -> None:
    difference = logits[relevant] - logits[1 - relevant]
    assert compute("logit", values, logits) == pytest.approx(difference, rel=1e-12)
    if min(values) == 0:
        assert compute("probability", values, logits) == pytest.approx(expit(difference), rel=1e-12)


@pytest.mark.parametrize("logit", LOGITS)
@pytest.mark.parametrize("value", [1.0, 4.0])
def test_one_label_alone_has_its_logit_and_its_sigmoid(value: float, logit: float) -> None:
    assert compute("logit", [value], [logit]) == logit
    assert compute("probability", [value], [logit]) == pytest.approx(value * expit(logit), rel=1e-12)


@pytest.mark.parametrize("values", [[0, 1, 2, 3], [4, 0.5, -1, 0], [7]])
def test_expectations_are_over_the_vocabulary_or_over_the_labels(values: list[float]) -> None:
    logprobs = [-1.25, -0.75, -3.5, -9.0][: len(values)]
    whole = sum(value * np.exp(logprob) for value, logprob in zip(values, logprobs, strict=True))
    assert compute("expectation", values, logprobs) == pytest.approx(whole, rel=1e-12)
    if len(values) > 1:
        assert compute("probability", values, logprobs) == pytest.approx(softmax(logprobs) @ values, rel=1e-12)


# Family -> its own settings, and whether the label that makes a document relevant is the first of the two, or alone
FAMILIES: dict[str, tuple[dict[str, Any], str]] = {
    "rank1": ({}, "first"),
    "qwen3": ({}, "second"),
    "mxbai": ({}, "second"),
    "bge_gemma": ({}, "alone"),
    "cross_encoder": ({}, "second"),
    "label": ({"prompt": "{query} {doc}", "labels": {"yes": 1.0, "no": 0.0}}, "first"),
}


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("logits", [(-0.25, -2.0), (-9.0, -0.001), (-1.5, -1.5)])
def test_logit_and_probability_mean_the_same_in_every_family(family: str, logits: tuple[float, float]) -> None:
    own, place = FAMILIES[family]
    one, other = logits if place == "first" else logits[::-1]
    expected = logits[0] if place == "alone" else one - other
    found = np.array(logits[: 1 + (place != "alone")], dtype=np.float32)
    replies = [Reply([1], label_logprobs=None if family == "cross_encoder" else found, vector=found)]
    unused: Any = None  # the tokenizer
    for score, value in (("logit", expected), ("probability", expit(expected))):
        settings = RERANKERS[family].settings.model_validate({"type": family, "model": "m", "score": score} | own)
        assert RERANKERS[family].score(unused, settings, replies) == pytest.approx(value, rel=1e-6), score


def test_these_are_all_families_that_have_a_logit() -> None:
    choices = {
        name: get_args(reranker.settings.model_fields["score"].annotation)
        for name, reranker in RERANKERS.items()
        if "score" in reranker.settings.model_fields
    }
    assert {name for name, words in choices.items() if "logit" in words} == {*FAMILIES}
    assert all(("logit" in words) == ("probability" in words) for words in choices.values())
