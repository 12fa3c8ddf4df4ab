"""Sliding windows: against rank_llm's loop written out, and whole rankings with answers of a known oracle."""

import re
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from actors.rerankers import RERANKERS
from actors.rerankers.contract import Pair, Ranking, Reply, Unscored
from actors.rerankers.first import First
from actors.rerankers.sliding import slide
from actors.rerankers.tokenizer import Tokenizer
from tests.actors.rerankers.byte_tokenizer import save_byte_tokenizer

PROMPT = "Rank for {query}:\n{passages}\n"  # short, so that windows fit the byte tokenizer's context
SHOWN = re.compile(r"\[(\w+)\] doc (\d+)")
Answer = Callable[[list[int]], str | Unscored]
NONE_OF = "no answer about it could be read: it names none of {} passages"


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    model = save_byte_tokenizer(tmp_path_factory.mktemp("bytes"))
    return Tokenizer(RERANKERS["listwise"].settings(type="listwise", model=model), 100_000)


def list_windows_of_rank_llm(count: int, window: int, stride: int) -> list[tuple[int, int]]:
    """Their loop: start never stands below 0, and the windows end with one that begins there."""
    window = min(window, count)
    windows = []
    end, start = count, count - window
    while end > 0 and start + stride != 0:
        start = max(start, 0)
        windows.append((start, end))
        end, start = end - stride, start - stride
    return windows


def test_the_windows_are_those_of_rank_llm() -> None:
    for count in [*range(2, 45), 47, 99, 100, 101, 1000]:
        for window in (2, 3, 4, 5, 10, 19, 20, 21, 100):
            for stride in {1, 2, 3, window // 2, window - 1} & {*range(1, window)}:
                found = [(place.start, place.stop) for place in slide(count, window, stride)]
                expected = list_windows_of_rank_llm(count, window, stride)
                assert found == expected, (count, window, stride)


def test_the_windows_by_hand() -> None:
    assert [(place.start, place.stop) for place in slide(100, 20, 10)] == [
        *((80, 100), (70, 90), (60, 80), (50, 70), (40, 60)),
        *((30, 50), (20, 40), (10, 30), (0, 20)),
    ]
    assert [*slide(25, 20, 10)] == [range(5, 25), range(0, 15)]
    assert len([*slide(100, 4, 2)]) == 49
    assert [*slide(1, 20, 10)] == [*slide(0, 20, 10)] == []


def rank(tokenizer: Tokenizer, count: int, answer: Answer, **settings: Any) -> tuple[Ranking, list[list[int]]]:
    """The ranking of documents `doc 0`, `doc 1`, ..., and those of each window. answer: what the model writes about the
    documents of a window."""
    family = RERANKERS["listwise"]
    made = family.settings(**{"type": "listwise", "model": "m", "prompt": PROMPT} | settings)
    assert family.whole_query
    conversation = family.whole_query.rank(tokenizer, made, [Pair("q", f"doc {i}") for i in range(count)])
    windows: list[list[int]] = []
    replies: list[Reply | Unscored] | None = None
    while True:
        try:
            asked = next(conversation) if replies is None else conversation.send(replies)
        except StopIteration as end:
            return end.value, windows
        (tokens,) = asked.sequences
        assert asked.max_tokens == family.request(made).max_tokens
        shown = SHOWN.findall(tokenizer.decode(tokens))
        assert [int(number) for number, _ in shown] == [*range(1, len(shown) + 1)]
        windows.append([int(doc) for _, doc in shown])
        written = answer(windows[-1])
        replies = [written if isinstance(written, Unscored) else Reply(tokens, text=written)]


def sort_by(relevance: np.ndarray) -> Answer:
    """An oracle, which writes the right order."""
    return lambda docs: " > ".join(f"[{i + 1}]" for i in np.argsort(-relevance[docs], kind="stable"))


def order_of(ranking: Ranking) -> list[int]:
    scores = np.array(ranking.scores, dtype=np.float64)
    return np.argsort(-scores, kind="stable").tolist()


@pytest.mark.parametrize("seed", range(5))
def test_an_oracle_puts_the_best_ten_of_a_hundred_on_top(seed: int, tokenizer: Tokenizer) -> None:
    relevance = np.random.default_rng(seed).permutation(100)
    ranking, windows = rank(tokenizer, 100, sort_by(relevance))
    assert len(windows) == 9 and {len(docs) for docs in windows} == {20}
    assert order_of(ranking)[:10] == np.argsort(-relevance)[:10].tolist()
    assert sorted(ranking.scores) == [*range(100)]  # type: ignore[type-var]
    assert ranking.figures == {"windows": 9, "windows_partial": 0, "windows_unread": 0, "windows_shortened": 0}


@pytest.mark.parametrize(
    ("count", "window", "stride"), [(47, 20, 10), (100, 20, 10), (23, 4, 2), (3, 2, 1), (30, 7, 6)]
)
def test_the_ranking_is_that_of_a_plain_loop(count: int, window: int, stride: int, tokenizer: Tokenizer) -> None:
    relevance = np.random.default_rng(count).permutation(count)
    order = [*range(count)]
    for start, end in list_windows_of_rank_llm(count, window, stride):
        order[start:end] = sorted(order[start:end], key=lambda doc: -relevance[doc])
    ranking, _ = rank(tokenizer, count, sort_by(relevance), window=window, stride=stride)
    assert order_of(ranking) == order
    assert ranking.scores == [float(count - 1 - order.index(doc)) for doc in range(count)]


def test_each_candidate_has_the_answers_about_it(tokenizer: Tokenizer) -> None:
    given: dict[int, list[str]] = {doc: [] for doc in range(25)}

    def answer(docs: list[int]) -> str:
        text = f"[{len(docs)}] > [2]"
        for doc in docs:
            given[doc].append(text)
        return text

    ranking, windows = rank(tokenizer, 25, answer)
    assert windows[1] == [0, 1, 2, 3, 4, 24, 6, 5, 7, 8, 9, 10, 11, 12, 13]
    assert ranking.texts == ["\n".join(given[doc]) for doc in range(25)]
    assert ranking.texts[24] == "[20] > [2]\n[15] > [2]" and ranking.texts[20] == "[20] > [2]"
    assert ranking.figures == {"windows": 2, "windows_partial": 2, "windows_unread": 0, "windows_shortened": 0}


# The model's answers about (80, 100), (70, 90), ... (0, 20) of a hundred; r reverses, p names one alone, - can't be
# read, x is refused. The candidates without a score, as they were given.
UNREAD: list[tuple[str, list[int], tuple[int, int]]] = [
    ("-rrrrrrrr", [*range(90, 100)], (0, 1)),  # 80..89 are of the next window, too
    ("rrrrrrrr-", [*range(10)], (0, 1)),
    ("--rrrrrrr", [*range(80, 100)], (0, 2)),
    ("---------", [*range(100)], (0, 9)),
    ("xrrrrrrrr", [*range(90, 100)], (0, 1)),
    ("-xxxxxxx-", [*range(100)], (0, 9)),
    ("ppppppppp", [], (9, 0)),
    ("pppp-pppr", [], (7, 1)),
]


@pytest.mark.parametrize(("answers", "unscored", "figures"), UNREAD)
def test_only_candidates_of_no_readable_window_have_no_score(
    answers: str, unscored: list[int], figures: tuple[int, int], tokenizer: Tokenizer
) -> None:
    left = iter(answers)
    texts = {"r": " > ".join(f"[{i}]" for i in range(20, 0, -1)), "p": "[20]", "-": "I cannot rank them."}

    def answer(docs: list[int]) -> str | Unscored:
        kind = next(left)
        return Unscored(f"refused: {docs[0]}") if kind == "x" else texts[kind]

    order = [*range(100)]
    for kind, (start, end) in zip(answers, list_windows_of_rank_llm(100, 20, 10), strict=True):
        part = order[start:end]
        order[start:end] = {"r": part[::-1], "p": [part[19], *part[:19]]}.get(kind, part)
    ranking, _ = rank(tokenizer, 100, answer)
    assert [doc for doc, score in enumerate(ranking.scores) if isinstance(score, Unscored)] == unscored
    for place, doc in enumerate(order):
        if doc not in unscored:
            assert ranking.scores[doc] == 99 - place
    assert (ranking.figures["windows_partial"], ranking.figures["windows_unread"]) == figures
    assert ranking.figures["windows"] == 9


def test_the_reason_is_that_of_the_last_window_that_could_not_be_read(tokenizer: Tokenizer) -> None:
    answers: Iterator[str | Unscored] = iter(["none", Unscored("too long: 7 tokens")])
    ranking, _ = rank(tokenizer, 30, lambda docs: next(answers))
    assert {*ranking.scores[:20]} == {Unscored("too long: 7 tokens")}
    assert {*ranking.scores[20:]} == {Unscored(NONE_OF.format(20))}
    assert ranking.texts == [None] * 10 + ["none"] * 20


def test_a_single_candidate_is_asked_nothing_and_has_a_score(tokenizer: Tokenizer) -> None:
    ranking, windows = rank(tokenizer, 1, lambda docs: pytest.fail("asked"))
    assert (ranking.scores, ranking.texts, windows) == ([0], [None], [])
    assert {*ranking.figures.values()} == {0}


@pytest.mark.parametrize(("text", "expected"), [("[2]", [0, 1]), ("[1]", [1, 0]), ("[2] > [1]", [0, 1])])
def test_two_candidates(text: str, expected: list[float], tokenizer: Tokenizer) -> None:
    ranking, windows = rank(tokenizer, 2, lambda docs: text)
    assert (ranking.scores, windows) == (expected, [[0, 1]])


def test_first_orders_a_window_by_the_letters_and_equal_ones_keep_their_order(tokenizer: Tokenizer) -> None:
    family = RERANKERS["first"]
    settings = First(type="first", model="m", prompt=PROMPT, window=4, stride=2)
    request = family.request(settings)
    assert (request.max_tokens, len(request.labels)) == (1, 4)
    assert family.whole_query
    conversation = family.whole_query.rank(tokenizer, settings, [Pair("q", f"doc {i}") for i in range(5)])
    asked = next(conversation)
    text = tokenizer.decode(asked.sequences[0])
    assert SHOWN.findall(text) == [("A", "1"), ("B", "2"), ("C", "3"), ("D", "4")] and text.endswith("\n[</s>")
    asked = conversation.send([Reply(asked.sequences[0], label_logprobs=np.array([-3.0, -1.0, -2.0, -1.0]))])
    assert SHOWN.findall(tokenizer.decode(asked.sequences[0])) == [("A", "0"), ("B", "2"), ("C", "4")]
    with pytest.raises(StopIteration) as end:
        # the last window has three passages, so the fourth letter, the likeliest, is none of theirs
        conversation.send([Reply(asked.sequences[0], label_logprobs=np.array([-5.0, -4.0, -3.0, -0.1]))])
    assert end.value.value.scores == [2, 0, 3, 1, 4]
    assert end.value.value.figures == {"windows": 2, "windows_partial": 0, "windows_unread": 0, "windows_shortened": 0}
    assert end.value.value.texts == [None] * 5


@pytest.mark.parametrize("family", ["listwise", "first"])
@pytest.mark.parametrize(("window", "stride"), [(20, 20), (20, 21), (1, 1), (10, 0), (27, 26)])
def test_windows_that_would_not_slide_are_refused(family: str, window: int, stride: int) -> None:
    given: dict[str, Any] = {"type": family, "model": "m", "window": window, "stride": stride}
    if family == "listwise" and window == 27:
        RERANKERS[family].settings(**given)  # numbers do not end as letters do
    else:
        with pytest.raises(ValidationError, match=r"window|stride"):
            RERANKERS[family].settings(**given)


def test_no_pair_is_scored_by_itself() -> None:
    unused: Any = None
    with pytest.raises(NotImplementedError):
        RERANKERS["listwise"].score(unused, unused, [])
