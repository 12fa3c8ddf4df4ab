"""Setwise for models that write: how an answer is read, what one that cannot be read leaves, and shuffled passages."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import ValidationError

from actors.rerankers import RERANKERS
from actors.rerankers.contract import Reply, Unscored
from tests.actors.rerankers.test_comparisons import (
    FIGURES,
    TOO_LONG,
    choose,
    list_best_first,
    list_docs,
    make_oracles,
    rank,
)

NONE_OF_4 = Unscored("no answer about it could be read: it names none of 4 passages")
WRITES = {"type": "setwise", "max_new_tokens": 50}
# The pattern, what the model writes about four passages, and the number that is read
WRITTEN: list[tuple[str | None, str, int | None]] = [
    (None, "<think> The third. </think>\n<answer>[3]</answer>", 3),
    (None, "<ANSWER>[2]</Answer>", 2),
    (None, "<answer> 4 </answer>", 4),
    (None, "<answer>[2]</answer> or <answer>[3]</answer>", 2),
    (None, "<answer>\n[1]\n</answer>", 1),
    (None, "<answer>[0]</answer>", None),
    (None, "<answer>[5]</answer>", None),
    (None, "<answer>[-1]</answer>", None),
    (None, "<answer>[2] and [3]</answer>", None),
    (None, "<answer>two</answer>", None),
    (None, "[2]", None),
    (None, "<answer>[2]", None),
    (None, "", None),
    (None, f"<answer>[{'1' * 5000}]</answer>", None),
    (r"best: (\w+)", "BEST: 3", 3),
    (r"best: (\w+)", "best: three", None),
    (r"best(?:: (\d))?", "best.", None),
    (r"(?s)<think>.*?</think>\s*<answer>\[(\d)\]</answer>", "<THINK>\n\n</THINK><answer>[4]</answer>", 4),
    (r"(?s)<think>.*?</think>\s*<answer>\[(\d)\]</answer>", "<answer>[4]</answer>", None),
]


def write(find_best: Callable[[list[int]], int]) -> Callable[[Any, list[int]], Reply]:
    """Replies that name the best of the candidates, by its number."""
    return lambda request, members: Reply(members, text=f"<answer>[{members.index(find_best(members)) + 1}]</answer>")


@pytest.mark.parametrize(("pattern", "text", "number"), WRITTEN)
def test_the_number_that_is_read_of_an_answer(pattern: str | None, text: str, number: int | None) -> None:
    """Four candidates, one comparison. One that cannot be read leaves them as they are, without a score."""
    settings = WRITES | ({} if pattern is None else {"answer_pattern": pattern})
    ranking, shown = rank(lambda request, members: Reply(members, text=text), list_docs(4), settings | {"k": 1})
    assert shown == [[0, 1, 2, 3]]
    assert ranking.texts == [text or None] * 4
    assert ranking.figures == FIGURES | {"windows": 1, "windows_unread": number is None}
    if number is None:
        assert ranking.scores == [NONE_OF_4] * 4
    else:
        others = [doc for doc in range(4) if doc != number - 1]
        assert [ranking.scores[doc] for doc in (number - 1, *others)] == [3, 2, 1, 0]


@pytest.mark.parametrize("refused", [False, True])
def test_an_answer_that_cannot_be_read_leaves_the_node_where_it_is(refused: bool) -> None:
    """The last of eight is the best, with three children a node. The second comparison has 4 in it, and no answer."""

    def answer(request: Any, members: list[int]) -> Reply | Unscored:
        if 4 not in members:
            return write(max)(request, members)
        return TOO_LONG if refused else Reply(members, text="I cannot say.")

    ranking, shown = rank(answer, list_docs(8), WRITES | {"k": 2})
    assert shown == [[2, 7], [1, 4, 5, 6], [0, 1, 7, 3], [0, 2], [0, 1, 2, 3]]
    reason = TOO_LONG if refused else NONE_OF_4
    assert ranking.scores == [5, 4, 3, 6, reason, reason, reason, 7]
    assert ranking.figures == FIGURES | {"windows": 5, "windows_unread": 1}
    said = "" if refused else "I cannot say.\n"
    assert ranking.texts[1] == f"{said}<answer>[3]</answer>\n<answer>[4]</answer>"
    assert ranking.texts[4] == (said.strip() or None)


@pytest.mark.parametrize("writes", [False, True])
def test_passages_are_shuffled_the_same_way_in_each_run_and_in_another_for_another_query(writes: bool) -> None:
    best_first = list_best_first(30)
    settings = {"type": "setwise", "children": 9, "max_new_tokens": 50 if writes else 1}
    answer = write(lambda shown: min(shown, key=best_first.index)) if writes else choose(make_oracles(30)["consistent"])
    plain, in_order = rank(answer, list_docs(30), settings)
    runs = [rank(answer, list_docs(30, query), settings | {"shuffle": True}) for query in ("a", "a", "b")]
    for ranking, shown in runs:
        assert ranking.scores == plain.scores
        assert [sorted(members) for members in shown] == [sorted(members) for members in in_order]
    assert runs[0][1] == runs[1][1] and runs[0][1] != runs[2][1]
    places = {members.index(plain[0]) for members, plain in zip(runs[0][1], in_order, strict=True)}
    assert len(places) > 3, "the node stands anywhere"


def test_a_shuffled_answer_that_cannot_be_read_leaves_the_node_where_it_is() -> None:
    """Nothing can be read of the ten. So the node, 0, is taken out as the best, and the nine others are compared."""
    for query in "abcdef":
        ranking, shown = rank(
            lambda request, members: Reply(members, text="<answer>[1]</answer>" if len(members) == 9 else ""),
            list_docs(10, query),
            WRITES | {"children": 9, "shuffle": True, "k": 2},
        )
        assert [sorted(members) for members in shown] == [[*range(10)], [*range(1, 10)]]
        assert isinstance(ranking.scores[0], Unscored) and "none of 10 passages" in ranking.scores[0].reason
        assert ranking.scores[shown[1][0]] == 8


REFUSED: list[tuple[dict[str, Any], str]] = [
    (WRITES | {"answer_pattern": "["}, "is no regular expression"),
    (WRITES | {"answer_pattern": r"\d+"}, "should have one group"),
    (WRITES | {"answer_pattern": r"(\d)(\d)"}, "and not 2"),
    ({"type": "setwise", "children": 0}, "children"),
    ({"type": "setwise", "children": 26}, "children"),
    ({"type": "setwise", "k": 0}, "k\n"),
    ({"type": "setwise", "method": "heapsort"}, "Extra inputs"),
    ({"type": "pairwise", "method": "bubblesort"}, "'allpair' or 'heapsort'"),
    ({"type": "pairwise", "children": 2}, "Extra inputs"),
]


@pytest.mark.parametrize(("given", "said"), REFUSED)
def test_settings_that_cannot_be_are_refused(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=re.escape(said)):
        RERANKERS[given["type"]].settings(**{"model": "m"} | given)
