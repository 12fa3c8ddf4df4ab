"""Qwen3-Reranker against its model card's transformers code."""

from collections.abc import Callable

import numpy as np
import pytest
from scipy.special import logit

from tests.file_tokenizer import FileTokenizer
from tests.parity import BOTH, ENGINES, PAIRS, Reference, assert_same, score_pairs, scores

LENGTH = 400
USUAL = "Given a web search query, retrieve relevant passages that answer the query"
INSTRUCTIONS = [None if i % 3 else "Find the passage that answers." for i in range(len(PAIRS))]
PREFIX = (
    "<|im_start|>system\nJudge whether the Document meets the requirements based on the Query and the Instruct "
    'provided. Note that the answer can only be "yes" or "no".<|im_end|>\n<|im_start|>user\n'
)
SUFFIX = "<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"


def prompt(
    tokenizer: FileTokenizer, query: str, doc: str, instruction: str = USUAL, max_length: int = 8192
) -> list[int]:
    """Prefix and suffix are tokenised separately, and the body is cut to the room they leave."""
    prefix, suffix = tokenizer.fill(PREFIX), tokenizer.fill(SUFFIX)
    body = tokenizer.ids(f"<Instruct>: {instruction}\n<Query>: {query}\n<Document>: {doc}")
    return prefix + body[: max_length - len(prefix) - len(suffix)] + suffix


def card(reference: Reference, query: str, doc: str, instruction: str, max_length: int) -> float:
    logits = reference.logits(prompt(reference.tokenizer, query, doc, instruction, max_length))[-1]
    no, yes = (reference.tokenizer.id(label) for label in ("no", "yes"))
    return float(logits[[no, yes]].softmax(0)[1])


def expected(model: str) -> np.ndarray:
    """The card's scores of PAIRS with INSTRUCTIONS."""
    reference = Reference(model)
    rows = zip(PAIRS, INSTRUCTIONS, strict=True)
    return np.array([card(reference, *pair, instruction or USUAL, LENGTH) for pair, instruction in rows])


@pytest.mark.parametrize("engine", BOTH)
def test_scores_are_the_cards(engine: str, tiny_model: Callable) -> None:
    model = tiny_model("qwen3")
    settings = {"type": "qwen3", "model": model, "max_length": LENGTH}
    got = score_pairs(settings, ENGINES[engine], instructions=INSTRUCTIONS)
    assert_same(scores(got), expected(model))


def test_the_logit_is_the_difference_of_the_two(tiny_model: Callable) -> None:
    model = tiny_model("qwen3")
    settings = {"type": "qwen3", "model": model, "max_length": LENGTH}
    got = score_pairs(settings | {"score": "logit"}, ENGINES["cached"], instructions=INSTRUCTIONS)
    assert_same(scores(got), logit(expected(model)), atol=1e-5)
