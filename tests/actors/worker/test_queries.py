"""Queries of a unit: each is a conversation of its own, and all of them are asked together."""

import random
from collections.abc import Sequence

import numpy as np
import pytest

from actors.engines.contract import EngineRequest
from actors.rerankers.contract import WINDOW_FIGURES, Conversation, FollowUp, Pair, Ranking, Reply, Unscored
from actors.worker.queries import PendingQueries, join_rankings

NONE = dict.fromkeys(WINDOW_FIGURES, 0)


def pairs(query: str, count: int) -> list[Pair]:
    return [Pair(query, f"doc {i}") for i in range(count)]


def ask_each(candidates: list[Pair]) -> Conversation:
    """Asks about each candidate in turn, [query, doc], and the score is the sum of its reply's new tokens."""
    scores: list[float | Unscored] = []
    texts: list[str | None] = []
    for number in range(len(candidates)):
        (reply,) = yield FollowUp([[int(candidates[0].query), number]], max_tokens=5)
        assert not isinstance(reply, Reply) or reply.prompt == [int(candidates[0].query), number]
        scores.append(reply if isinstance(reply, Unscored) else float(sum(reply.tokens)))
        texts.append(reply.text if isinstance(reply, Reply) else None)
    return Ranking(scores, texts, NONE | {"windows": len(scores), "windows_partial": int(candidates[0].query)})


def answer(request: EngineRequest) -> Reply:
    query, number = request.tokens
    return Reply([query, number], 1, (100 * query, number), f"{query}.{number}")


def tokens_of(requests: Sequence[EngineRequest]) -> list[list[int]]:
    return [request.tokens for request in requests]


@pytest.mark.parametrize("seed", range(20))
def test_many_queries_at_once_with_replies_in_any_order(seed: int) -> None:
    draw = random.Random(seed)
    counts = [draw.randint(0, 5) for _ in range(7)]
    pending = PendingQueries([pairs(str(q), count) for q, count in enumerate(counts)], _begin, True)
    asked, waiting = [*pending.first], [*pending.first]
    assert tokens_of(waiting) == [[q, 0] for q, count in enumerate(counts) if count]
    while waiting:
        assert pending.left == len(waiting)  # each query that goes on waits for one reply
        request = waiting.pop(draw.randrange(len(waiting)))
        more = pending.take(request.number, answer(request))
        assert tokens_of(more) == [[q, n + 1] for q, n in [request.tokens] if n + 1 < counts[q]]
        asked += more
        waiting += more
    assert [request.number for request in asked] == [*range(sum(counts))], "a number is given once"
    assert {request.max_tokens for request in asked} <= {5} and {request.boundary for request in asked} <= {None}
    assert pending.left == 0
    assert pending.scores() == [[100.0 * q + n for n in range(count)] for q, count in enumerate(counts)]
    assert pending.texts() == [[f"{q}.{n}" for n in range(count)] for q, count in enumerate(counts)]


def _begin(candidates: list[Pair]) -> Conversation:
    """A query of no candidates is over before anything is asked."""
    if candidates:
        return (yield from ask_each(candidates))
    return Ranking([], [], NONE)


def test_the_figures_are_sums_over_all_replies_and_rankings() -> None:
    pending = PendingQueries([pairs("2", 2), pairs("3", 1)], ask_each, True)
    assert {*pending.figures.values()} == {0}
    pending.take(0, Reply([2, 0], 1, (7, 8)))
    pending.take(1, Unscored("refused"))
    pending.take(2, Reply([2, 1], 2, (9,)))
    assert pending.figures == {
        **{"prompt_tokens": 4, "cached_tokens": 3, "new_tokens": 3},
        **{"equal_prompts": 0, "label_replies": 0, "label_share": 0},
        **{"windows": 3, "windows_partial": 5, "windows_unread": 0, "windows_shortened": 0},
    }
    assert pending.scores() == [[15, 9], [Unscored("refused")]]
    assert pending.texts() == [["", ""], [None]]


def test_a_request_of_several_sequences_goes_on_with_all_of_its_replies_in_their_order() -> None:
    got: list[list[Reply | Unscored]] = []

    def rank(candidates: list[Pair]) -> Conversation:
        got.append((yield FollowUp([[1], [2], [1]], 3)))
        got.append((yield FollowUp([[4], [5]])))
        return Ranking([0.0], [None], NONE)

    pending = PendingQueries([pairs("q", 1)], rank, True)
    assert pending.first == [EngineRequest(i, [token], None, 3, False) for i, token in enumerate((1, 2, 1))]
    assert pending.take(2, Reply([1], 9)) == [] == pending.take(0, Reply([1]))
    assert pending.take(1, Unscored("no")) == [
        EngineRequest(3, [4], None, 1, True),
        EngineRequest(4, [5], None, 1, True),
    ]
    assert pending.left == 1
    assert pending.take(4, Reply([5])) == [] and pending.left == 1
    assert pending.take(3, Reply([4])) == [] and pending.left == 0
    assert got == [[Reply([1]), Unscored("no"), Reply([1], 9)], [Reply([4]), Reply([5])]]


@pytest.mark.parametrize("writes", [True, False])
def test_a_request_follows_only_where_answers_are_written(writes: bool) -> None:
    """An engine may keep a request that follows, and is of one token, until there are several of them."""
    pending = PendingQueries([pairs("1", 2), pairs("2", 1)], ask_each, writes)
    assert [request.follows for request in pending.first] == [False, False]
    assert [request.follows for request in pending.take(0, answer(pending.first[0]))] == [writes]


def test_what_the_labels_hold_is_summed_up_and_nan_is_no_answer() -> None:
    """As Pending does with a score that is not a number."""
    found: list[Reply | Unscored] = []

    def ask(candidates: list[Pair]) -> Conversation:
        for tokens in ([1], [2]):
            found.extend((yield FollowUp([tokens])))
        return Ranking([0.0], [None], NONE)

    pending = PendingQueries([pairs("0", 1)], ask, False)
    (more,) = pending.take(0, Reply([1], label_logprobs=np.log([0.5, 0.25])))
    pending.take(more.number, Reply([2], label_logprobs=np.array([-1.0, np.nan])))
    assert isinstance(found[0], Reply) and found[1] == Unscored("the model's log-probabilities are nan")
    assert (pending.figures["label_replies"], pending.figures["label_share"]) == (1, pytest.approx(0.75))


def test_a_reply_is_taken_once() -> None:
    pending = PendingQueries([pairs("1", 2)], ask_each, True)
    pending.take(0, answer(pending.first[0]))
    with pytest.raises(KeyError):
        pending.take(0, answer(pending.first[0]))


@pytest.mark.parametrize(
    ("scores", "texts", "expected"),
    [
        pytest.param([[2.0, 1.0], [3.0]], [["a", None], ["b"]], ([2, 1, 3], ["a", None, "b"]), id="all are ranked"),
        pytest.param(
            [Unscored("died"), [3.0]],
            [None, ["b"]],
            ([Unscored("died"), Unscored("died"), 3], [None, None, "b"]),
            id="one over which workers died",
        ),
        pytest.param(
            [[2.0, Unscored("unread")], Unscored("died")],
            [["a", "b"], None],
            ([2, Unscored("unread"), Unscored("died")], ["a", "b", None]),
            id="a candidate without a score",
        ),
    ],
)
def test_rankings_become_the_rows_of_a_unit(
    scores: list[list[float | Unscored] | Unscored],
    texts: list[list[str | None] | None],
    expected: tuple[list[float | Unscored], list[str | None]],
) -> None:
    assert join_rankings([pairs("1", 2), pairs("2", 1)], scores, texts) == expected


def test_rankings_of_other_queries_are_not_joined() -> None:
    with pytest.raises(ValueError):
        join_rankings([pairs("1", 2)], [[1.0, 0.0], [1.0]], [None, None])
