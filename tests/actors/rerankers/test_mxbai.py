"""mxbai-rerank-v2 against its library's code: pieces are tokenised separately, and each is cut by its ids."""

from collections.abc import Callable

import numpy as np
import pytest

from tests.file_tokenizer import FileTokenizer
from tests.parity import BOTH, ENGINES, PAIRS, Reference, assert_same, score_pairs, scores

MAX_LENGTH = 300
PREFIX = (
    "<|im_start|>system\nYou are Qwen, created by Alibaba Cloud. You are a helpful assistant.<|im_end|>\n"
    "<|im_start|>user\n"
)
SUFFIX = "<|im_end|>\n<|im_start|>assistant\n"
TASK = (
    "You are a search relevance expert who evaluates how well documents match search queries. For each query-document "
    "pair, carefully analyze the semantic relationship between them, then provide your binary relevance judgment (0 "
    "for not relevant, 1 for relevant).\nRelevance:"
)


def prompt(
    tokenizer: FileTokenizer, query: str, doc: str, instruction: str | None = None, max_length: int = 8192
) -> list[int]:
    ids, fill = tokenizer.ids, tokenizer.fill
    asked = f"instruction: {instruction}\nquery: {query}" if instruction else f"query: {query}"
    content = ids(asked)[: max_length * 3 // 4] + ids("\n") + ids(f"document: {doc}")[: max_length // 4]
    return fill(PREFIX) + content + ids("\n") + ids(TASK) + fill(SUFFIX)


def library(reference: Reference, query: str, doc: str, instruction: str | None) -> float:
    logits = reference.logits(prompt(reference.tokenizer, query, doc, instruction, MAX_LENGTH))[-1]
    return float(logits[reference.tokenizer.id("1")] - logits[reference.tokenizer.id("0")])


@pytest.mark.parametrize("engine", BOTH)
def test_scores_are_the_librarys(engine: str, tiny_model: Callable) -> None:
    model = tiny_model("qwen2")
    reference = Reference(model)
    instructions = [None if i % 3 else "Find the passage that answers." for i in range(len(PAIRS))]
    settings = {"type": "mxbai", "model": model, "max_length": MAX_LENGTH}
    got = score_pairs(settings, ENGINES[engine], instructions=instructions)
    expected = [library(reference, *pair, instruction) for pair, instruction in zip(PAIRS, instructions, strict=True)]
    assert_same(scores(got), np.array(expected), atol=1e-5)
