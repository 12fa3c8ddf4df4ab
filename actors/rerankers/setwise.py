"""Setwise, and Rank-R1: a heap sort whose comparisons are of several passages at once.

Source: llm-rankers, setwise.py (arXiv 2310.09497), whose prompt is the default, and Rank-R1/run_setwise.py
(arXiv 2503.06034). Each comparison asks for the best of a node and its children, so the top `k` of n candidates take
n / children of them and some more for each of the k. The candidates behind the best k keep the order they had; the
score is n - rank.
  children         of a node of the heap: a comparison is of one passage more
  max_new_tokens   1: the letters' exact log-probabilities, behind an answer that begins with ` Passage:`, say which
                   passage is best. More: the model writes, passages are numbered, and `answer_pattern` finds the number
  shuffle          the passages of a comparison stand in an order drawn at random, as Rank-R1 has it; the same in each
                   run. Without it the node stands first
We differ in that an answer that cannot be read is counted; the node stays where it is, as with the authors. They write
one token, and take one that is no letter for the node.
"""

import random
import re
from collections.abc import Generator, Sequence

import numpy as np
from pydantic import Field, field_validator, model_validator

from actors.rerankers.answers import check_pattern
from actors.rerankers.comparisons import ANSWER, LABELS, ComparisonSettings, Steps, label_letters, sort_best
from actors.rerankers.contract import Conversation, FollowUp, Pair, Reply, Request, Unscored
from actors.rerankers.described import Message
from actors.rerankers.record import Record
from actors.rerankers.tokenizer import Tokenizer
from actors.rerankers.windows import NUMBERS, Identifiers, ask_window, make_query_reranker

USER = """\
Given a query "{query}", which of the following passages is the most relevant one to the query?

{passages}

Output only the passage label of the most relevant passage:"""
Comparison = Generator[FollowUp, list[Reply | Unscored], int]


class Setwise(ComparisonSettings):
    children: int = Field(default=3, ge=1, lt=len(LABELS.names))
    max_new_tokens: int = Field(default=1, ge=1)
    answer_pattern: str = r"<answer>\s*\[?(\d+)\]?\s*</answer>"
    shuffle: bool = False

    @field_validator("answer_pattern")
    @classmethod
    def _check_pattern(cls, pattern: str) -> str:
        return check_pattern(pattern, "the number of the passage")

    @model_validator(mode="after")
    def _check_used(self) -> "Setwise":
        self.refuse_unused(not self.writes, "with max_new_tokens = 1 the model writes no answer", "answer_pattern")
        return self

    @property
    def asked(self) -> tuple[Message, ...]:
        return self.messages or (Message(role="user", content=USER),)

    @property
    def writes(self) -> bool:
        """Whether the model's answer has several tokens."""
        return self.max_new_tokens > 1

    @property
    def identifiers(self) -> Identifiers:
        return NUMBERS if self.writes else LABELS

    @property
    def answer(self) -> str:
        """How the model's answer begins."""
        return "" if self.writes else ANSWER


def request(settings: Setwise) -> Request:
    if settings.writes:
        return Request("generate", settings.max_new_tokens)
    return Request("generate", labels=label_letters(settings.children + 1))


def rank(tokenizer: Tokenizer, settings: Setwise, candidates: list[Pair]) -> Conversation:
    heap = [*range(len(candidates))]
    record, rng = Record(len(heap)), random.Random(candidates[0].query)

    def find_best(members: Sequence[int]) -> Comparison:
        """The best of some candidates; the first of them if the answer cannot be read."""
        shown = rng.sample(members, len(members)) if settings.shuffle else members
        docs, how = [candidates[i] for i in shown], (settings.identifiers, settings.answer)
        prompt, reply = yield from ask_window(tokenizer, settings, docs, settings.max_new_tokens, *how)
        best = None if isinstance(reply, Unscored) else read(settings, reply, len(shown))
        record.add(members, prompt, reply, 0 if best is None else len(members))
        return members[0] if best is None else shown[best]

    def sift(at: int, size: int) -> Steps:
        while (first := settings.children * at + 1) < size:
            places = [at, *range(first, min(first + settings.children, size))]
            members = [heap[place] for place in places]
            best = places[members.index((yield from find_best(members)))]
            if best == at:
                return
            heap[at], heap[best] = heap[best], heap[at]
            at = best

    yield from sort_best(heap, settings.children, settings.k, sift)
    return record.make_ranking(heap)


def read(settings: Setwise, reply: Reply, count: int) -> int | None:
    """The number, from 0, of the passage that an answer says is the best; None if it cannot be read."""
    if not settings.writes:
        return int(np.argmax(np.asarray(reply.label_logprobs)[:count]))
    found = re.search(settings.answer_pattern, reply.text.lower())
    numbers = [str(number + 1) for number in range(count)]
    return numbers.index(found[1]) if found and found[1] in numbers else None


RERANKER = make_query_reranker(
    Setwise, request, rank, lambda settings: settings.identifiers, lambda settings: settings.answer
)
