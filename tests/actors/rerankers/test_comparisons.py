"""Setwise and pairwise with an oracle in an engine's place, against llm-rankers' heap sort and loops written out."""

import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from actors.rerankers import RERANKERS
from actors.rerankers.contract import Pair, Ranking, Reply, Unscored

Ask = Callable[[Sequence[int]], int | None]  # candidates as they are shown -> the best place, from 0; None: refused
PROMPT = "{query} {passages}"
FIGURES = {"windows_partial": 0, "windows_unread": 0, "windows_shortened": 0}
TOO_LONG = Unscored("too long for the engine")


class Numbers:
    """A tokenizer whose tokens are the numbers in a text, so that a prompt's ids are the candidates that it shows."""

    ids_around: tuple[list[int], list[int]] = ([], [])

    def __init__(self, limit: int = 10_000):
        self.limit = limit

    def encode_marked(self, text: str) -> list[int]:
        return [int(number) for number in re.findall(r"\d+", text)]

    def encode(self, texts: list[str], inside: bool = False) -> list[list[int]]:
        return [self.encode_marked(text) for text in texts]

    def split_marked(self, text: str) -> list[str]:
        return [text]

    def cut(self, text: str, max_tokens: int) -> str:
        return " ".join(text.split()[:max_tokens])


def list_docs(count: int, query: str = "q") -> list[Pair]:
    return [Pair(query, f"<{i}>") for i in range(count)]


def rank(
    answer: Callable[[Any, list[int]], Reply | Unscored],
    docs: list[Pair],
    settings: dict[str, Any],
    limit: int = 10_000,
) -> tuple[Ranking, list[list[int]]]:
    """The ranking, and the candidates that each prompt showed, in their order."""
    family = RERANKERS[settings["type"]]
    made = family.settings(**{"model": "m", "prompt": PROMPT, "passage": "{passage}", "separator": " "} | settings)
    assert family.whole_query
    tokenizer: Any = Numbers(limit)
    conversation = family.whole_query.rank(tokenizer, made, docs)
    shown: list[list[int]] = []
    replies: Any = None
    while True:
        try:
            asked = conversation.send(replies)
        except StopIteration as end:
            return end.value, shown
        assert asked.max_tokens == family.request(made).max_tokens
        shown += asked.sequences
        replies = [answer(family.request(made), members) for members in asked.sequences]


def choose(ask: Ask) -> Callable[[Any, list[int]], Reply | Unscored]:
    """Replies with log-probabilities of the letters. Those that no passage has are the likeliest of all."""

    def answer(request: Any, members: list[int]) -> Reply | Unscored:
        if (best := ask(members)) is None:
            return TOO_LONG
        logprobs = np.full(len(request.labels), -0.1)
        logprobs[: len(members)] = -3
        logprobs[best] = -2
        return Reply(members, label_logprobs=logprobs)

    return answer


def sort_as_authors(
    count: int, children: int, k: int, find_largest: Callable[[list[int], list[int]], int]
) -> tuple[list[int], list[int]]:
    """llm-rankers' heapify and heapSort, and what its rerank makes of them: the order, of k and of the others.

    find_largest: the heap, and the places of a node and its children -> the place of the best.
    """
    arr = [*range(count)]

    def heapify(n: int, i: int) -> None:
        if children * i + 1 < n:
            largest = find_largest(arr, [i, *range(children * i + 1, min(children * (i + 1) + 1, n))])
            if largest != i:
                arr[i], arr[largest] = arr[largest], arr[i]
                heapify(n, largest)

    for i in range(count // children, -1, -1):
        heapify(count, i)
    for ranked, i in enumerate(range(count - 1, 0, -1), start=1):
        arr[i], arr[0] = arr[0], arr[i]
        if ranked == k:
            break
        heapify(i, 0)
    best = arr[::-1][:k]
    return best, [doc for doc in range(count) if doc not in best]


def make_oracles(count: int) -> dict[str, Ask]:
    """One that prefers the candidates by `list_best_first`, one whose answers contradict each other, and one that gives
    no answer to a third of the questions."""
    rank_of = {doc: place for place, doc in enumerate(list_best_first(count))}

    def draw(shown: Sequence[int]) -> int:
        return hash((count, *shown)) % (len(shown) * 3)  # of numbers, it is the same in each process

    return {
        "consistent": lambda shown: min(range(len(shown)), key=lambda i: rank_of[shown[i]]),
        "random": lambda shown: draw(shown) % len(shown),
        "refusing": lambda shown: draw(shown) % len(shown) if draw(shown) < len(shown) * 2 else None,
    }


def list_best_first(count: int) -> list[int]:
    return np.random.default_rng(count).permutation(count).tolist()


def list_ks(count: int) -> list[int]:
    if count < 10:
        return [*range(1, count + 2)]
    return [count % 10 + 1, *([count] if count % 5 == 0 else [])]


def check(ranking: Ranking, order: list[int], asked: list[list[int]], ask: Ask) -> None:
    """Scores are n - rank, but for candidates of whom nothing could be read."""
    read = {doc for members in asked if ask(members) is not None for doc in members} if asked else {*order}
    scores = {doc: float(len(order) - 1 - place) if doc in read else TOO_LONG for place, doc in enumerate(order)}
    assert ranking.scores == [scores[doc] for doc in range(len(order))]
    unread = sum(ask(members) is None for members in asked)
    assert ranking.figures == FIGURES | {"windows": len(asked), "windows_unread": unread}


@pytest.mark.parametrize("oracle", ["consistent", "random", "refusing"])
@pytest.mark.parametrize("children", [1, 2, 3, 4, 5, 19])
def test_setwise_asks_and_ranks_as_the_authors_heap_sort(children: int, oracle: str) -> None:
    for count in range(1, 41):
        ask = make_oracles(count)[oracle]
        for k in list_ks(count):
            asked: list[list[int]] = []

            def find_largest(arr: list[int], places: list[int], asked: Any = asked, ask: Ask = ask) -> int:
                asked.append([arr[place] for place in places])
                return places[ask(asked[-1]) or 0]

            best, others = sort_as_authors(count, children, k, find_largest)
            settings = {"type": "setwise", "children": children, "k": k}
            ranking, shown = rank(choose(ask), list_docs(count), settings)
            assert shown == asked, (count, k)
            check(ranking, best + others, asked, ask)
            if oracle == "consistent":
                assert best == list_best_first(count)[:k]


@pytest.mark.parametrize("oracle", ["consistent", "random", "refusing"])
def test_pairwise_asks_and_ranks_as_the_authors_heap_sort(oracle: str) -> None:
    for count in range(1, 41):
        ask = make_oracles(count)[oracle]
        for k in list_ks(count):
            asked: list[list[int]] = []

            def is_greater(one: int, other: int, asked: Any = asked, ask: Ask = ask) -> bool:
                asked.extend([[one, other], [other, one]])
                return ask([one, other]) == 0 and ask([other, one]) == 1

            def find_largest(arr: list[int], places: list[int], is_greater: Any = is_greater) -> int:
                largest = places[0]
                for child in places[1:]:
                    if is_greater(arr[child], arr[largest]):
                        largest = child
                return largest

            best, others = sort_as_authors(count, 2, k, find_largest)
            ranking, shown = rank(choose(ask), list_docs(count), {"type": "pairwise", "method": "heapsort", "k": k})
            assert shown == asked, (count, k)
            check(ranking, best + others, asked, ask)
            if oracle == "consistent":
                assert best == list_best_first(count)[:k]


def test_one_candidate_is_asked_nothing_and_has_a_score() -> None:
    for settings in ({"type": "setwise"}, {"type": "pairwise"}, {"type": "pairwise", "method": "heapsort"}):
        ranking, shown = rank(choose(lambda shown: 0), list_docs(1), settings)
        assert (ranking.scores, ranking.texts, shown) == ([0], [None], [])


@pytest.mark.parametrize("oracle", ["consistent", "random"])
@pytest.mark.parametrize("count", [1, 2, 3, 12, 23])
def test_all_pairs_score_the_wins_of_a_double_loop(count: int, oracle: str) -> None:
    ask = make_oracles(count)[oracle]
    wins = [0.0] * count
    for i in range(count):
        for j in range(i + 1, count):
            outputs = ["AB"[ask([i, j]) or 0], "AB"[ask([j, i]) or 0]]
            if outputs == ["A", "B"]:
                wins[i] += 1
            elif outputs == ["B", "A"]:
                wins[j] += 1
            else:
                wins[i] += 0.5
                wins[j] += 0.5
    ranking, shown = rank(choose(ask), list_docs(count), {"type": "pairwise"})
    assert ranking.scores == wins
    assert sorted(shown) == [[i, j] for i in range(count) for j in range(count) if i != j]
    assert ranking.figures == FIGURES | {"windows": count * (count - 1)}
    assert ranking.texts == [None] * count
    if oracle == "random" and count == 23:
        assert any(score % 1 for score in wins), "no draw was met"


# Whether [first, second] is answered A, B, or refused (x); the scores of 0, 1 and 2
DRAWS: list[tuple[dict[tuple[int, int], str], list[float | None], int]] = [
    ({}, [1.0, 1.0, 1.0], 0),  # A, whatever it stands for: every pair is a draw
    ({(1, 0): "B", (2, 0): "B", (2, 1): "B"}, [2.0, 1.0, 0.0], 0),
    ({(0, 1): "B", (0, 2): "B", (1, 2): "B"}, [0.0, 1.0, 2.0], 0),
    ({(1, 0): "B", (0, 1): "x"}, [1.0, 1.0, 1.0], 1),  # one order alone decides nothing
    ({(1, 0): "B", (2, 0): "B", (0, 2): "x", (2, 1): "B"}, [1.5, 1.0, 0.5], 1),
    ({(0, 1): "x", (1, 0): "x", (0, 2): "x", (2, 0): "x"}, [None, 1.0, 1.0], 4),
    (dict.fromkeys([(i, j) for i in range(3) for j in range(3)], "x"), [None, None, None], 6),
]


@pytest.mark.parametrize(("answers", "scores", "unread"), DRAWS)
def test_a_win_takes_both_orders_and_who_was_never_read_has_no_score(
    answers: dict[tuple[int, int], str], scores: list[float | None], unread: int
) -> None:
    def answer(request: Any, members: list[int]) -> Reply | Unscored:
        said = answers.get((members[0], members[1]), "A")
        if said == "x":
            return TOO_LONG
        return Reply(members, label_logprobs=np.array([-1.0, -2.0] if said == "A" else [-2.0, -1.0]))

    ranking, _ = rank(answer, list_docs(3), {"type": "pairwise"})
    assert ranking.scores == [TOO_LONG if score is None else score for score in scores]
    assert ranking.figures == FIGURES | {"windows": 6, "windows_unread": unread}


def test_windows_that_do_not_fit_are_not_asked() -> None:
    """Two passages that have texts, and two that have none, so that these fit with any other."""
    docs = [Pair("7", doc) for doc in ("", "1 1", "", "2 2 2")]
    ranking, shown = rank(choose(lambda shown: 0), docs, {"type": "pairwise"}, limit=3)
    assert sorted(shown) == [[7]] * 2 + [[7, 1]] * 4 + [[7, 2]] * 4
    assert ranking.scores == [1.5] * 4
    assert ranking.figures == {"windows": 12, "windows_partial": 0, "windows_unread": 2, "windows_shortened": 8}
    for settings, tokens in (({"type": "pairwise"}, 6), ({"type": "setwise", "k": 1}, 7)):
        ranking, shown = rank(choose(lambda shown: 0), list_docs(3, "1 2 3 4"), settings, limit=4)
        reason = f"a window does not fit: {tokens} tokens, room for 3"
        assert (ranking.scores, shown) == ([Unscored(reason)] * 3, [])
        assert ranking.figures["windows_unread"] == ranking.figures["windows"] > 0
