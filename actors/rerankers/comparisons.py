"""Families that compare a few candidates at a time, and sort by that: `setwise` and `pairwise`.

Source: llm-rankers (ielab), its prompts, and its heap sort, in which the same comparisons follow from the same answers.
A model's answer begins with ` Passage:`, and what it would write next is read from the exact log-probabilities of the
passages' letters. The authors write one token; where that is no letter, their comparison has no result.
"""

import re
from collections.abc import Callable, Generator

from pydantic import Field

from actors.rerankers.contract import Behind, FollowUp, Reply, Unscored
from actors.rerankers.windows import LETTERS, Identifiers, WindowSettings

ANSWER = " Passage:"
LABELS = Identifiers(LETTERS.names, re.compile("(?!)()"))  # no brackets around them: texts stay as they are
Steps = Generator[FollowUp, list[Reply | Unscored], None]


class ComparisonSettings(WindowSettings):
    """k: how many of the best are sorted out. The lengths are those of the authors' commands."""

    passage: str = 'Passage {i}: "{passage}"'
    separator: str = "\n\n"
    title: str = "{title} "
    fix_text: bool = False
    max_query_tokens: int | None = Field(default=32, ge=1)
    max_passage_tokens: int | None = Field(default=128, ge=1)
    k: int = Field(default=10, ge=1)


def label_letters(count: int) -> tuple[Behind, ...]:
    """The letters of this number of passages, as labels of a request."""
    return tuple(Behind(ANSWER, f" {letter}") for letter in LABELS.names[:count])


def sort_best(heap: list[int], children: int, k: int, sift: Callable[[int, int], Steps]) -> Steps:
    """Puts the best k candidates first, in their order, and the others behind them, in the order they had.

    heap: the numbers of the candidates, in order. children: of a node. sift: moves the candidate at a place of the heap
    down to where it belongs, in the first places of it.
    """
    size = len(heap)
    for at in range(size // children, -1, -1):
        yield from sift(at, size)
    for last in range(size - 1, max(0, size - 1 - k), -1):
        heap[last], heap[0] = heap[0], heap[last]
        if size - last < k:
            yield from sift(0, last)
    best = heap[::-1][:k]
    heap[:] = best + sorted(set(heap) - set(best))
