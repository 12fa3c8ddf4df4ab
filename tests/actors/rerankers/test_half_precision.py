"""bfloat16 and float16, as in the configs: rounding may change our scores no more than it changes the authors'.

Our scores in half precision, and transformers' in half precision, are both compared with transformers in float32.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from tests.actors.rerankers import test_bge_gemma, test_cross_encoder, test_mxbai, test_qwen3, test_rankinggpt
from tests.actors.rerankers.test_lb import FORMULAS, label_probabilities
from tests.parity import PAIRS, SLOW, Reference, score_pairs, scores

LONG = ("lb", "qwen3", "mxbai", "bge_gemma", "rankinggpt")  # one family is enough for CI

Theirs = Callable[[str, torch.dtype], list[float]]


def each_pair(score: Callable[..., float], *more: Any) -> Theirs:
    """The scores of PAIRS by transformers, by a function `score` of one pair."""

    def theirs(model: str, dtype: torch.dtype) -> list[float]:
        reference = Reference(model, dtype)
        return [score(reference, *pair, *more) for pair in PAIRS]

    return theirs


def lb(model: str, dtype: torch.dtype) -> list[float]:
    return [FORMULAS["card"](p) for p in label_probabilities(model, "query_first", dtype)]


def cross_encoder(model: str, dtype: torch.dtype) -> list[float]:
    return list(test_cross_encoder.expected(model, "xlm_roberta", dtype))


CASES: dict[str, tuple[str, str, dict[str, Any], Theirs]] = {
    "lb": ("qwen2", "bfloat16", {}, lb),
    "qwen3": (
        "qwen3",
        "bfloat16",
        {"max_length": 400},
        each_pair(test_qwen3.card, test_qwen3.USUAL, 400),
    ),
    "mxbai": ("qwen2", "bfloat16", {"max_length": 300}, each_pair(test_mxbai.library, None)),
    "bge_gemma": ("gemma", "bfloat16", {"max_length": 200}, each_pair(test_bge_gemma.library)),
    "rankinggpt": ("bloom", "float16", {}, each_pair(test_rankinggpt.card)),
    "cross_encoder": ("xlm_roberta", "float16", {}, cross_encoder),
}


@pytest.mark.parametrize("name", [pytest.param(name, marks=[SLOW] if name in LONG else []) for name in CASES])
def test_rounding_moves_scores_no_further_than_it_moves_the_authors(name: str, tiny_model: Callable) -> None:
    made, dtype, settings, theirs = CASES[name]
    model = tiny_model(made)
    lengths = {"max_model_len": test_cross_encoder.LENGTH} if name == "cross_encoder" else {"max_model_len": 2048}
    ours = scores(score_pairs({"type": name, "model": model} | settings, lengths | {"dtype": dtype}))
    exact = np.array(theirs(model, torch.float32))
    rounded = np.array(theirs(model, getattr(torch, dtype)))
    there = ~np.isnan(ours)
    assert there.mean() >= 0.95
    own, authors = (np.quantile(np.abs(error[there]), [0.5, 0.9, 1]) for error in (ours - exact, rounded - exact))
    print(
        f"{name} in {dtype}: half of the scores moved by {own[0]:.1e}, the furthest by {own[2]:.1e}; authors' {authors}"
    )
    assert own[0] > 0, "nothing was rounded"
    assert (own <= np.array([1.5, 1.5, 2]) * authors).all()
    assert authors[1] < exact[there].std() / 10, "rounding that hides the scores proves nothing"
