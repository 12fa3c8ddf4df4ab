"""FIRST against a loop by transformers: the same order, and the letters' log-probabilities behind `[`."""

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from actors.rerankers import RERANKERS
from actors.rerankers.contract import Pair
from actors.rerankers.tokenizer import Tokenizer
from tests.actors.rerankers.test_sliding import list_windows_of_rank_llm
from tests.actors.rerankers.test_windows import CASES, expect
from tests.parity import ENGINES, RTOL, SLOW, Reference, rank_queries

WORDS = "apple tree cats are a round fruit of the green city 7 rivers and why not"
LETTERS = "ABCDEFGHIJKLMNOPQRST"
COUNTS = (47, 100, 2, 20, 1)  # candidates of each query


def draw_queries(seed: int) -> list[list[Pair]]:
    draw = random.Random(seed)

    def write(most: int) -> str:
        return " ".join(draw.choices(WORDS.split(), k=draw.randint(1, most)))

    return [[Pair(query, write(12)) for _ in range(count)] for count in COUNTS for query in [write(5)]]


def rank_by_transformers(
    reference: Reference, case: Any, candidates: list[Pair]
) -> tuple[list[int], list[np.ndarray], float]:
    """The order, the log-probabilities of each window's letters, and how close two of them come, relatively."""
    order, windows, closest = [*range(len(candidates))], [], 1.0
    letters = [reference.tokenizer.ids(f"[{letter}")[-1] for letter in LETTERS]
    for start, end in list_windows_of_rank_llm(len(candidates), 20, 10):
        if end - start > 1:
            docs = [candidates[i].doc for i in order[start:end]]
            ids = expect(case, reference.tokenizer, candidates[0].query, docs)
            found = reference.logprobs(ids)[letters[: end - start]].numpy()
            windows.append(found)
            order[start:end] = [order[start + i] for i in np.argsort(-found)]
            closest = min(
                closest, float(np.min(-np.diff(np.sort(found)) / np.sort(found)[1:], initial=1.0, where=True))
            )
    return order, windows, closest


# A seed for each model with which no two letters come so close that rounding decides
SEEDS = {"first": 2, "first raw": 0}


@pytest.mark.parametrize("engine", ["cached", pytest.param("chunked", marks=SLOW), "transformers"])
@pytest.mark.parametrize("name", SEEDS)
def test_the_order_is_that_of_transformers(name: str, engine: str, tiny_model: Callable) -> None:
    case, queries = CASES[name], draw_queries(SEEDS[name])
    model = tiny_model(case.model)
    ranked, figures = rank_queries({"type": "first", "model": model, **case.settings}, ENGINES[engine], queries)
    reference = Reference(model)
    for candidates, got in zip(queries, ranked, strict=True):
        order, windows, closest = rank_by_transformers(reference, case, candidates)
        assert closest > 1e-4, "texts with which two letters may change places"
        assert len(got.replies) == len(windows)
        for reply, expected in zip(got.replies, windows, strict=True):
            assert reply.label_logprobs is not None
            np.testing.assert_allclose(reply.label_logprobs[: len(expected)], expected, rtol=RTOL)
        assert got.scores == [len(order) - 1 - order.index(i) for i in range(len(order))]
        assert {*got.texts} == {None}
    assert figures["windows"] == 4 + 9 + 1 + 1 and figures["windows_unread"] == figures["windows_partial"] == 0
    assert figures["new_tokens"] == figures["windows"]


@pytest.mark.parametrize("name", ["qwen3", "mistral", "llama3", "llama2", "gemma"])
def test_the_letters_are_the_tokens_that_stand_behind_the_bracket(name: str, tiny_model: Callable) -> None:
    """SentencePiece has another token for a letter at the start of a text."""
    model = tiny_model(name)
    settings = RERANKERS["first"].settings(type="first", model=model)
    vocabulary = json.loads((Path(model) / "tokenizer.json").read_text())["model"]["vocab"]
    labels = RERANKERS["first"].request(settings).labels
    assert Tokenizer(settings).label_ids(labels) == [vocabulary[letter] for letter in LETTERS]
