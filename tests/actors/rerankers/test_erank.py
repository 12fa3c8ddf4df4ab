"""ERank against its authors' prompt and the paper's score, for the tokens that vLLM generated.

A model with random weights never writes an answer, so the tiny model here is trained to.
"""

from collections.abc import Callable

import numpy as np
import pytest

from actors.rerankers.contract import FollowUp, Pair, Prompt, Reply, Unscored
from actors.rerankers.erank import PRESETS, RERANKER, ERank
from actors.rerankers.tokenizer import Tokenizer
from tests.file_tokenizer import FileTokenizer
from tests.parity import ENGINES, SLOW, SOME_PAIRS, Reference, assert_same, score_pairs, scores
from tests.tiny_trained import ERANK, GRADES

NEW_TOKENS = 64
PROMPT = """<|im_start|>user
Given a query and a document, please give a relevance score of 0~10.
The goal or relevance definition is: {instruction}

Here is the query:
{query}

Here is the document:
{doc}

After thinking, directly choose a relevance score from [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10].
- 0 represents completely not related
- 10 means perfectly related.

Desired output format:
<think>put your thinking here</think><answer>Only allows an integer here</answer>

Your output:<|im_end|>
<|im_start|>assistant
"""
BEIR = "Given a query, retrieval relevant passage."


def prompt(
    tokenizer: FileTokenizer, query: str, doc: str, instruction: str = BEIR, length: int | None = None
) -> list[int]:
    """Their truncate(), then their prompt as the one user message of Qwen3's chat template."""

    def truncate(text: str) -> str:
        return tokenizer.decode(tokenizer.ids(text)[:length]) if length else text

    return tokenizer.fill(PROMPT, query=truncate(query), doc=truncate(doc), instruction=instruction)


def paper(reference: Reference, written: Reply) -> float:
    """s * Pr(s), Pr the product over the digit tokens of s inside <answer>."""
    inside = written.text.split("</answer>")[0].split("<answer>")[-1]
    digits = [reference.tokenizer.id(digit) for digit in inside]
    tokens = list(written.tokens)
    start = max(i for i in range(len(tokens)) if tokens[i : i + len(digits)] == digits)
    probability = 1.0
    for i, digit in enumerate(digits):
        probability *= float(reference.logprobs(written.prompt + tokens[: start + i])[digit].exp())
    return int(inside) * probability


@pytest.mark.parametrize("engine", [pytest.param("cached", marks=SLOW), "chunked", "transformers"])
def test_scores_are_the_papers(engine: str, trained_erank: str) -> None:
    reference = Reference(trained_erank)
    graded = [key for key in ERANK if key in GRADES or key in ("HESITANT", "NEARLY")]
    pairs = [
        (query, f"It is {graded[i % len(graded)]} of all. {doc[:200]}") for i, (query, doc) in enumerate(SOME_PAIRS)
    ]
    instructions = [None if i % 2 else "Find it." for i in range(len(pairs))]
    settings = {"type": "erank", "model": trained_erank, "max_new_tokens": NEW_TOKENS}
    settings |= {"max_query_tokens": 150, "max_doc_tokens": 150}
    got = score_pairs(settings, ENGINES[engine], pairs, instructions)
    expected = np.full(len(pairs), np.nan)
    for i, ((query, doc), instruction, result) in enumerate(zip(pairs, instructions, got, strict=True)):
        if result.score is not None:
            written = result.replies[0]
            assert written.prompt == prompt(reference.tokenizer, query, doc, instruction or BEIR, 150)
            expected[i] = paper(reference, written)
    assert_same(scores(got), expected)


def test_presets_are_the_papers_by_name_and_other_instructions_are_themselves(tiny_model: Callable) -> None:
    settings = ERank(type="erank", model=tiny_model("qwen3"))
    tokenizer, file = Tokenizer(settings), FileTokenizer(settings.model)
    for given, instruction in [("beir", BEIR), ("followir", PRESETS["followir"]), ("Find it.", "Find it.")]:
        made = RERANKER.prompt(tokenizer, settings, [Pair("q", "d", given)])
        assert made == [Prompt([prompt(file, "q", "d", instruction)])]
    (refused,) = RERANKER.prompt(tokenizer, settings, [Pair("q", "d", "bright-biology")])
    assert isinstance(refused, Unscored) and "its instruction is one word, and none of the" in refused.reason
    assert set(PRESETS) == {
        "bright", "bright-aops", "bright-leetcode", "bright-pony", "bright-theoremqa", "beir", "followir",
    }  # fmt: skip


def test_texts_are_cut_as_the_authors_cut_them(tiny_model: Callable) -> None:
    settings = ERank(type="erank", model=tiny_model("qwen3"), max_query_tokens=7, max_doc_tokens=7)
    tokenizer, file = Tokenizer(settings), FileTokenizer(settings.model)
    for query, doc in [("many words " * 9, "other words " * 9), ("文字が多い", "🍎🍏🍐")]:
        made = RERANKER.prompt(tokenizer, settings, [Pair(query, doc, "beir")])
        assert made == [Prompt([prompt(file, query, doc, BEIR, 7)], truncated=True)]


def test_the_two_tokens_of_ten_are_read_apart(tiny_model: Callable) -> None:
    settings = ERank(type="erank", model=tiny_model("qwen3"))
    tokenizer = Tokenizer(settings)
    text = "<think>It is 10.</think><answer>10</answer>"
    tokens = tuple(tokenizer.encode([text])[0])
    one, zero = tokenizer.label_ids("10")
    written = Reply([5, 6], 0, tokens, text, "</answer>")
    again = RERANKER.score(tokenizer, settings, [written])
    at = max(i for i, token in enumerate(tokens) if token == one)
    assert tokens[at + 1] == zero
    assert again == FollowUp([[5, 6, *tokens[:at]], [5, 6, *tokens[: at + 1]]])
    first, second = np.full(10, -9.0), np.full(10, -9.0)
    first[1], second[0] = np.log(0.5), np.log(0.25)
    read = [written, Reply([5], label_logprobs=first), Reply([5], label_logprobs=second)]
    assert RERANKER.score(tokenizer, settings, read) == pytest.approx(10 * 0.5 * 0.25)


def test_digits_of_the_reasoning_are_not_taken_for_the_answers(tiny_model: Callable) -> None:
    settings = ERank(type="erank", model=tiny_model("qwen3"))
    tokenizer = Tokenizer(settings)
    tokens = (*tokenizer.encode(["a 7 <answer>"])[0], 1, *tokenizer.encode(["</answer>"])[0])
    written = Reply([5, 6], 0, tokens, "a 7 <answer>7</answer>", "</answer>")
    score = RERANKER.score(tokenizer, settings, [written])
    assert score == Unscored("the digits of the answer 7 are not tokens of their own")
