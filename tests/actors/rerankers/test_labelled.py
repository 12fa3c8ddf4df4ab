"""`scoring: head`, which computes only the labels' logits, against exact log-probabilities over the vocabulary."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests import parity
from tests.parity import ENGINES, PAIRS

LABEL = {"prompt": "{query}\n{doc}\nIs it?", "labels": {"yes": 3.0, "no": 1.0, "true": 2.0}}
FAMILIES: dict[str, tuple[str, dict[str, Any]]] = {
    "lb": ("qwen2", {"score": "normalised"}),
    "qwen3": ("qwen3", {}),
    "mxbai": ("qwen2", {}),
    "bge_gemma": ("gemma", {}),
    "label": ("llama2", LABEL | {"score": "probability"}),  # the only one whose head is not tied to its embeddings
}


def scores(reranker: dict[str, Any], engine: str = "cached") -> np.ndarray:
    """The scores of every tenth pair."""
    arguments = ENGINES[engine] if reranker.get("scoring") != "head" or engine == "transformers" else {}
    return parity.scores(parity.score_pairs(reranker, arguments, PAIRS[::10]))


@pytest.mark.parametrize("engine", ["cached", "transformers"])
@pytest.mark.parametrize("family", FAMILIES)
def test_head_and_exact_give_the_same_where_other_tokens_do_not_count(
    family: str, engine: str, tiny_model: Callable
) -> None:
    name, settings = FAMILIES[family]
    reranker = {"type": family, "model": tiny_model(name)} | settings
    exact, head = scores(reranker, engine), scores(reranker | {"scoring": "head"}, engine)
    assert len(exact) == 22 and np.ptp(exact) > 0 and not np.isnan(head).any()
    np.testing.assert_allclose(head, exact, rtol=1e-3, atol=1e-5)


def test_by_head_an_expectation_is_over_the_labels_alone(tiny_model: Callable) -> None:
    """The documented difference: the exact expectation is this one times the labels' total probability."""
    reranker = {"type": "lb", "model": tiny_model("qwen2")}
    card = scores(reranker | {"score": "card", "scoring": "head"})
    normalised = scores(reranker | {"score": "normalised", "scoring": "exact"})
    np.testing.assert_allclose(card, normalised, rtol=1e-3)
