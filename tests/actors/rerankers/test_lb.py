"""The scores of `lb` against its published formulas of transformers' probabilities."""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch

from actors.rerankers.contract import Pair, Prompt, Reply, Unscored
from actors.rerankers.lb import LB, RERANKER
from actors.rerankers.tokenizer import Tokenizer
from tests.file_tokenizer import FileTokenizer
from tests.parity import ENGINES, PAIRS, SLOW, Reference, assert_same, score_pairs, scores

# The published formulas; p[i - 1] is the probability of the token i over the full vocabulary.
FORMULAS: dict[str, Callable[[np.ndarray], float]] = {
    "card": lambda p: 1 * p[0] + 2 * p[1] + 3 * p[2] + 4 * p[3] + 5 * p[4] + 6 * p[5] + 7 * p[6],
    "notebook": lambda p: (p[3] + p[4] + p[5] + p[6]) / 4 - (p[0] + p[1] + p[2] + p[3]) / 4,
    "normalised": lambda p: sum(i * p[i - 1] for i in range(1, 8)) / sum(p),
}

FRAMES = {
    "query_first": (
        "<|im_start|>system\nGiven a query and a piece of text, output a score of 1-7 based on how related the query "
        "is to the text. 1 means least related and 7 is most related.<|im_end|>\n<|im_start|>user\n"
        "<<<Query>>>\n{query}\n\n<<<Context>>>\n{text}<|im_end|>\n<|im_start|>assistant\n"
    ),
    "context_first": (
        "<|im_start|>system\nGiven a piece of text and a query, output a score of 1-7 based on how related the query "
        "is to the text. 1 means least related and 7 is most related.<|im_end|>\n<|im_start|>user\n"
        "<<<Context>>>\n{text}\n\n<<<Query>>>\n{query}<|im_end|>\n<|im_start|>assistant\n"
    ),
}


def prompt(tokenizer: FileTokenizer, query: str, doc: str, order: str = "query_first") -> list[int]:
    return tokenizer.fill(FRAMES[order], query=query, text=doc)


@cache
def label_probabilities(model: str, order: str, dtype: torch.dtype = torch.float32) -> np.ndarray:
    """p1 to p7 of each pair by transformers. Shape (pairs, 7)."""
    reference = Reference(model, dtype)
    labels = [reference.tokenizer.id(label) for label in "1234567"]
    rows = [reference.logprobs(prompt(reference.tokenizer, *pair, order))[labels].exp().tolist() for pair in PAIRS]
    return np.array(rows)


@pytest.fixture(scope="module")
def reference(tiny_qwen2: str) -> np.ndarray:
    return label_probabilities(tiny_qwen2, "query_first")


@pytest.mark.parametrize(
    ("engine", "order"),
    [
        ("cached", "query_first"),
        ("chunked", "query_first"),
        ("transformers", "query_first"),
        pytest.param("cached", "context_first", marks=SLOW),
    ],
)
def test_scores_are_the_cards(engine: str, order: str, tiny_qwen2: str) -> None:
    some = slice(None, None, 5) if engine == "chunked" else slice(None)  # a slow engine gets SOME_PAIRS
    got = score_pairs({"type": "lb", "model": tiny_qwen2, "order": order}, ENGINES[engine], PAIRS[some])
    assert_same(scores(got), np.array([FORMULAS["card"](p) for p in label_probabilities(tiny_qwen2, order)[some]]))


@pytest.mark.parametrize("setting", FORMULAS)
def test_each_score_is_its_formula_of_transformers_probabilities(
    setting: str, reference: np.ndarray, tiny_qwen2: str
) -> None:
    got = scores(score_pairs({"type": "lb", "model": tiny_qwen2, "score": setting}, ENGINES["cached"]))
    np.testing.assert_allclose(got, np.array([FORMULAS[setting](p) for p in reference]), rtol=1e-3)


def score(settings: LB, reply: Reply) -> Any:
    tokenizer: Any = None  # is not used
    return RERANKER.score(tokenizer, settings, [reply])


def reply(*p: float) -> Reply:
    """The engine's reply where the labels have these probabilities."""
    return Reply(prompt=[1], label_logprobs=np.log(p))


def test_a_certain_answer_scores_itself() -> None:
    certain = reply(1e-30, 1e-30, 1e-30, 1e-30, 1e-30, 1, 1e-30)
    assert score(LB(type="lb", model="m"), certain) == pytest.approx(6)
    assert score(LB(type="lb", model="m", score="notebook"), certain) == pytest.approx(1 / 4)


def test_only_the_normalised_score_ignores_the_probability_of_other_tokens() -> None:
    half = reply(0.1, 1e-30, 1e-30, 0.2, 1e-30, 1e-30, 0.2)  # the other half is on tokens that are no label
    assert score(LB(type="lb", model="m"), half) == pytest.approx(0.1 * 1 + 0.2 * 4 + 0.2 * 7)
    assert score(LB(type="lb", model="m", score="normalised"), half) == pytest.approx((0.1 + 0.8 + 1.4) / 0.5)
    assert score(LB(type="lb", model="m", score="notebook"), half) == pytest.approx(0.4 / 4 - 0.3 / 4)


def test_the_document_is_cut_where_prompt_and_answer_would_not_fit(lb_settings: LB) -> None:
    tokenizer = Tokenizer(lb_settings, limit=200)
    made = RERANKER.prompt(tokenizer, lb_settings, [Pair("query", "word " * 500)])[0]
    assert isinstance(made, Prompt) and made.truncated
    assert len(made.sequences[0]) + 1 == 200


def test_a_query_that_leaves_no_room_is_unscored(lb_settings: LB) -> None:
    made = RERANKER.prompt(Tokenizer(lb_settings, limit=200), lb_settings, [Pair("word " * 500, "document")])[0]
    assert isinstance(made, Unscored) and "does not fit" in made.reason


def test_query_and_document_have_limits_of_their_own(lb_settings: LB, lb_tokenizer: Tokenizer) -> None:
    limited = lb_settings.model_copy(update={"max_query_tokens": 2, "max_doc_tokens": 3})
    (short,) = RERANKER.prompt(lb_tokenizer, lb_settings, [Pair("12", "123")])
    assert isinstance(short, Prompt) and not short.truncated
    assert RERANKER.prompt(lb_tokenizer, limited, [Pair("1234567", "1234567")]) == [short._replace(truncated=True)]
