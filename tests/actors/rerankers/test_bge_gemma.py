"""bge-reranker-v2-gemma: the raw logit of Yes, against FlagEmbedding's code."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from actors.rerankers.bge_gemma import RERANKER, BgeGemma
from actors.rerankers.contract import Reply
from tests.file_tokenizer import FileTokenizer
from tests.parity import BOTH, ENGINES, PAIRS, Reference, assert_same, score_pairs, scores

MAX_LENGTH = 200
TASK = (
    "Given a query A and a passage B, determine whether the passage contains an answer to the query by providing a "
    "prediction of either 'Yes' or 'No'."
)


def prompt(tokenizer: FileTokenizer, query: str, passage: str, max_length: int = 512) -> list[int]:
    """Cuts query and passage separately, then the passage once more, to max_length plus the task's length."""
    task, separator = tokenizer.ids(TASK), tokenizer.ids("\n")
    first = [tokenizer.id("<bos>"), *tokenizer.ids(f"A: {query}")[: max_length * 3 // 4]]
    second = separator + tokenizer.ids(f"B: {passage}")[:max_length]
    return first + second[: max_length + len(separator) + len(task) - len(first)] + separator + task


def library(reference: Reference, query: str, passage: str) -> float:
    ids = prompt(reference.tokenizer, query, passage, MAX_LENGTH)
    return float(reference.logits(ids)[-1][reference.tokenizer.id("Yes")])


@pytest.mark.parametrize("engine", BOTH)
def test_scores_are_the_librarys(engine: str, tiny_model: Callable) -> None:
    model = tiny_model("gemma")
    reference = Reference(model)
    got = score_pairs({"type": "bge_gemma", "model": model, "max_length": MAX_LENGTH}, ENGINES[engine])
    assert_same(scores(got), np.array([library(reference, *pair) for pair in PAIRS]), atol=1e-5)


def test_a_probability_is_the_sigmoid_of_the_logit() -> None:
    settings, tokenizer = BgeGemma(type="bge_gemma", model="m", score="probability"), None
    unused: Any = tokenizer
    got = RERANKER.score(unused, settings, [Reply([1], label_logprobs=np.array([0.75]))])
    assert got == pytest.approx(1 / (1 + np.exp(-0.75)))
