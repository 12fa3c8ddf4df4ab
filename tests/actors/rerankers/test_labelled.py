"""The labels' logits from their rows of the head alone, against the exact log-probabilities over the vocabulary."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from actors.engines.vllm.engine import Engine
from actors.rerankers import RERANKERS
from actors.rerankers.contract import Pair, Prompt, Reply
from actors.rerankers.tokenizer import Tokenizer
from actors.worker.watchdog import Watchdog
from tests.actors.conftest import ENGINE, run
from tests.parity import PAIRS

LABEL = {"prompt": "{query}\n{doc}\nIs it?", "labels": {"yes": 3.0, "no": 1.0, "true": 2.0}}
FAMILIES: dict[str, tuple[str, dict[str, Any]]] = {
    "lb": ("qwen2", {"score": "normalised"}),
    "qwen3": ("qwen3", {}),
    "mxbai": ("qwen2", {}),
    "bge_gemma": ("gemma", {}),
    "label": ("llama2", LABEL | {"score": "probability"}),  # whose head is no copy of its embeddings
}


def scores(reranker: dict[str, Any]) -> np.ndarray:
    """Of every tenth pair."""
    family = RERANKERS[reranker["type"]]
    settings = family.settings(**reranker)
    tokenizer, request = Tokenizer(settings), family.request(settings)
    pairs = [Pair(*pair, getattr(settings, "instruction", None)) for pair in PAIRS[::10]]
    prompts = [prompt for prompt in family.prompt(tokenizer, settings, pairs) if isinstance(prompt, Prompt)]
    assert len(prompts) == 22
    engine = Engine(settings, ENGINE, request, tokenizer.label_ids(request.labels), 1800, watchdog=Watchdog())
    replies = run(engine, [prompt.sequences[0] for prompt in prompts]).result(60)
    return np.array([family.score(tokenizer, settings, [reply]) for reply in replies if isinstance(reply, Reply)])


@pytest.mark.parametrize("family", FAMILIES)
def test_head_and_exact_give_the_same_where_other_tokens_do_not_count(family: str, tiny_model: Callable) -> None:
    name, settings = FAMILIES[family]
    reranker = {"type": family, "model": tiny_model(name)} | settings
    exact, head = scores(reranker), scores(reranker | {"scoring": "head"})
    assert len(exact) == 22 and np.ptp(exact) > 0
    np.testing.assert_allclose(head, exact, rtol=1e-3, atol=1e-5)


def test_by_head_an_expectation_is_over_the_labels_alone(tiny_model: Callable) -> None:
    """The documented difference: the exact expectation is this one times the labels' total probability."""
    reranker = {"type": "lb", "model": tiny_model("qwen2")}
    card = scores(reranker | {"score": "card", "scoring": "head"})
    normalised = scores(reranker | {"score": "normalised", "scoring": "exact"})
    np.testing.assert_allclose(card, normalised, rtol=1e-3)
