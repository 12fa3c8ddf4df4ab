"""A verification of rerankers that see whole queries: the letters of one window of each query."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.config import Config
from pipeline.errors import UsageError
from pipeline.verify.score import Order, Prompts, Scored
from tests.parity import Reference
from tests.pipeline.verify.conftest import PAIRS, score_in_process, verify_here, write_scores

Make = Callable[..., Config]
FIRST = {"type": "first", "max_passage_words": 20}


@pytest.mark.parametrize("reranker", [FIRST, FIRST | {"window": 4, "stride": 2}], ids=["15 of 20", "4"])
def test_a_good_model_passes(reranker: dict[str, Any], tiny_model: Callable, make: Make) -> None:
    verdict = verify_here(make(tiny_model("qwen3"), reranker))
    size = min(15, reranker.get("window", 20))  # of four queries with 15 candidates each
    windows = min(4, -(-PAIRS // size))
    assert verdict.faults == [] and len(verdict.rows) == windows * size
    own, again, reference = verdict.scores.values()
    assert len(own) == len(verdict.rows) == len(verdict.tokens) and np.isfinite([*own, *again, *reference]).all()
    assert len(np.unique(own.round(6))) > size
    best = [f"d{at}" for at in range(14, 14 - size, -1)]  # the last document has the highest score
    assert verdict.rows["doc_id"].to_pylist() == best * windows


def test_a_score_is_the_log_probability_of_the_candidates_letter(tiny_model: Callable, make: Make) -> None:
    model = tiny_model("qwen3")
    asked = {"prompt": "{query}: {passages}\nBest: ", "max_passage_characters": 9, "fix_text": False}
    verdict = verify_here(make(model, {"type": "first", "window": 2, "stride": 1} | asked))
    reference, own = Reference(str(model)), next(iter(verdict.scores.values()))
    rows = verdict.rows.to_pylist()
    assert len(rows) == 8
    for at in range(0, len(rows), 2):
        a, b = (row["doc"][:9] for row in rows[at : at + 2])
        ids = reference.tokenizer.ids(f"{rows[at]['query']}: [A] {a}\n[B] {b}\nBest: [")
        letters = [reference.tokenizer.ids(letter)[-1] for letter in "AB"]
        np.testing.assert_allclose(own[at : at + 2], reference.logprobs(ids)[letters].numpy(), rtol=1e-3)


def test_letters_of_another_order_are_found(tiny_model: Callable, make: Make) -> None:
    def swap_letters(config: Config, prompts: Prompts, orders: list[Order], *more: Any) -> list[Scored]:
        """The reference's, which alone is asked for one order, with A and B swapped in the last window."""
        scored = score_in_process(config, prompts, orders, *more)
        if len(orders) == 1:
            scored[0].scores[[-20, -19]] = scored[0].scores[[-19, -20]]
        return scored

    verdict = verify_here(make(tiny_model("qwen3"), FIRST), score=swap_letters)
    assert verdict.faults and verdict.comparisons[-1].flips > 0
    assert verdict.comparisons[-1].worst in (15, 16)  # the first two of the second window


@pytest.mark.parametrize(
    ("reranker", "said"),
    [({"type": "listwise"}, "'listwise': writes its order"), ({"type": "setwise", "max_new_tokens": 9}, "writes")],
)
def test_a_model_that_writes_its_order_is_refused(
    reranker: dict[str, Any], said: str, tiny_model: Callable, make: Make
) -> None:
    with pytest.raises(UsageError, match=said):
        verify_here(make(tiny_model("qwen3"), reranker))


def test_scores_of_pairs_are_no_reference(tiny_model: Callable, make: Make, tmp_path: Path) -> None:
    config = make(tiny_model("qwen3"), FIRST)
    given = write_scores(verify_here(config), tmp_path / "scores.jsonl")
    with pytest.raises(UsageError, match="letters of windows"):
        verify_here(config, given)
