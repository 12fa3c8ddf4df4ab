"""Equal requests are made once, and a pair is scored as soon as its own replies are there."""

import math
from typing import Any

import numpy as np
import pytest

from actors.engines.contract import EngineRequest
from actors.rerankers.contract import FollowUp, Prompt, Reply, Unscored
from actors.worker.pending import Pending


def prompt(*sequences: list[int], boundary: int | None = None) -> Prompt:
    arrays: Any = [np.array(tokens, dtype=np.int32) for tokens in sequences]
    return Prompt(arrays, boundary=boundary)


def first_token(replies: list[Reply]) -> float:
    return float(replies[0].prompt[0])


def list_tokens(requests: list[EngineRequest]) -> list[list[int]]:
    return [request.tokens for request in requests]


def test_equal_sequences_are_requested_once() -> None:
    pairs = [prompt([1], [2]), prompt([1]), prompt([1, 2]), prompt([2], [2])]
    pending = Pending(pairs, 1, lambda replies: float(sum(sum(reply.prompt) for reply in replies)))
    assert list_tokens(pending.first) == [[1], [2], [1, 2]]
    for request in pending.first:
        pending.take(request.number, Reply(request.tokens))
    assert pending.left == 0 and pending.scores() == [3, 1, 3, 4]
    assert pending.figures["equal_prompts"] == 0


def test_sequences_that_are_split_in_different_places_are_different() -> None:
    pending = Pending([prompt([1, 2, 3], boundary=1), prompt([1, 2, 3], boundary=2)], 1, first_token)
    assert [request.boundary for request in pending.first] == [1, 2]


def test_a_pair_is_scored_when_its_own_replies_are_there() -> None:
    pending = Pending([prompt([5]), prompt([6])], 1, first_token)
    pending.take(1, Reply([6]))
    assert pending.left == 1 and pending.scores() == [Unscored("not asked yet"), 6]


def test_a_score_function_may_ask_again_and_gets_all_replies_in_order() -> None:
    seen: list[list[list[int]]] = []

    def score(replies: list[Reply]) -> float | FollowUp:
        seen.append([reply.prompt for reply in replies])
        return FollowUp([[7, 7], [8, 8]], max_tokens=3) if len(replies) == 1 else 0.5

    pending = Pending([prompt([5]), prompt([5])], 9, score)
    assert pending.first == [EngineRequest(0, [5], None, 9)] and pending.figures["equal_prompts"] == 1
    follow_ups = pending.take(0, Reply([5]))
    assert follow_ups == [
        EngineRequest(1, [7, 7], None, 3, follows=True),
        EngineRequest(2, [8, 8], None, 3, follows=True),
    ]
    assert pending.take(2, Reply([8, 8])) == [] and pending.left == 1
    assert pending.take(1, Reply([7, 7])) == [] and pending.left == 0
    assert seen == [[[5]], [[5], [7, 7], [8, 8]]]
    assert pending.scores() == [0.5, 0.5]


def test_a_refused_sequence_leaves_its_pairs_unscored_and_the_others_scored() -> None:
    pending = Pending([prompt([3]), prompt([4]), prompt([3], [4])], 1, first_token)
    pending.take(0, Reply([3]))
    pending.take(1, Unscored("too long"))
    assert pending.scores() == [3, Unscored("too long"), Unscored("too long")]


@pytest.mark.parametrize("score", [math.nan, math.inf, -math.inf])
def test_a_score_that_is_not_finite_is_unscored(score: float) -> None:
    pending = Pending([prompt([3])], 1, lambda replies: score)
    pending.take(0, Reply([3]))
    assert pending.scores() == [Unscored(f"the model's score is {score}")]


def test_figures_and_texts_include_every_reply() -> None:
    pending = Pending(
        [prompt([1, 2]), prompt([3])], 5, lambda replies: 0.0 if len(replies) > 1 else FollowUp([[1, 2, 9]])
    )
    pending.take(0, Reply([1, 2], cached_tokens=1, tokens=(7, 8), text="because"))
    pending.take(2, Reply([1, 2, 9], cached_tokens=2, tokens=(4,), text=""))
    pending.take(1, Unscored("too long"))
    counted = {name: count for name, count in pending.figures.items() if count}
    assert counted == {"prompt_tokens": 5, "cached_tokens": 3, "new_tokens": 3}
    assert pending.texts() == ["because", None]


@pytest.mark.parametrize(("probabilities", "expected"), [(True, (2, 0.9 + 0.02)), (False, (0, 0))])
def test_what_the_labels_hold_is_summed_up(probabilities: bool, expected: tuple[int, float]) -> None:
    pending = Pending([prompt([1]), prompt([2]), prompt([3])], 1, lambda replies: 0.0, probabilities)
    pending.take(0, Reply([1], label_logprobs=np.log([0.3, 0.6])))
    pending.take(1, Reply([2], label_logprobs=np.log([0.015, 0.005])))
    pending.take(2, Reply([3], vector=np.array([7.0])))
    assert (pending.figures["label_replies"], pending.figures["label_share"]) == pytest.approx(expected)
