"""Qwen3-Reranker against its model card's transformers code, through the whole job."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.parity import BOTH, ENGINES, PAIRS, Reference, assert_same, job, scores

INSTRUCTION = "Find the passage that answers."
PREFIX = (
    "<|im_start|>system\nJudge whether the Document meets the requirements based on the Query and the Instruct "
    'provided. Note that the answer can only be "yes" or "no".<|im_end|>\n<|im_start|>user\n'
)
SUFFIX = "<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"


def card(reference: Reference, query: str, doc: str, instruction: str, max_length: int) -> float:
    """What the card does with a pair: prefix and suffix tokenised apart, the body cut to what they leave."""
    prefix, suffix = (reference.ids(text, add_special_tokens=False) for text in (PREFIX, SUFFIX))
    body = reference.ids(
        f"<Instruct>: {instruction}\n<Query>: {query}\n<Document>: {doc}",
        truncation="longest_first",
        max_length=max_length - len(prefix) - len(suffix),
    )
    logits = reference.logits(prefix + body + suffix)[-1]
    no, yes = (reference.tokenizer.convert_tokens_to_ids(token) for token in ("no", "yes"))
    return float(logits[[no, yes]].softmax(0)[1])


@pytest.mark.parametrize("engine", BOTH)
def test_scores_are_the_cards(engine: str, tiny_model: Callable, local_ray: None, tmp_path: Path) -> None:
    model = tiny_model("qwen3")
    reference = Reference(model)
    settings = {"type": "qwen3", "model": model, "max_length": 400}
    columns = {"instruction": [None if i % 3 else INSTRUCTION for i in range(len(PAIRS))]}
    rows = job(tmp_path, settings, ENGINES[engine], columns=columns)
    usual = "Given a web search query, retrieve relevant passages that answer the query"
    expected = [card(reference, q, d, columns["instruction"][i] or usual, 400) for i, (q, d) in enumerate(PAIRS)]
    assert_same(scores(rows), np.array(expected))
