"""Families that slide a window over a query's candidates, from the last to the first: `listwise` and `first`.

Source: rank_llm. Each window is put in the order that the model says, and the next one begins `stride` candidates
further up, so that the best of one window compete in the next. The score of a candidate is n - rank, for n candidates.
"""

from collections.abc import Callable, Iterator
from typing import Any

from pydantic import Field, model_validator

from actors.rerankers.answers import Order
from actors.rerankers.contract import Conversation, Pair, Reply, Request, Reranker, Unscored
from actors.rerankers.record import Record
from actors.rerankers.tokenizer import Tokenizer
from actors.rerankers.windows import Identifiers, WindowSettings, ask_window, make_query_reranker


class SlidingSettings(WindowSettings):
    window: int = Field(default=20, ge=2)
    stride: int = Field(default=10, ge=1)

    @model_validator(mode="after")
    def _check_stride(self) -> "SlidingSettings":
        if self.stride >= self.window:
            raise ValueError(
                f"reranker.stride = {self.stride}: should be below reranker.window = {self.window}, for no candidate "
                "moves up from one window to the next otherwise"
            )
        return self


def slide(count: int, window: int, stride: int) -> Iterator[range]:
    """The windows over `count` candidates, from the last to the first: 100 in windows of 20, by 10, are 9 windows.

    As in rank_llm, the last one begins at the first candidate. A single candidate has no window.
    """
    stop = count
    while stop > 1:
        yield range(max(0, stop - window), stop)
        if stop <= window:
            break
        stop -= stride


def make_sliding_reranker(
    settings: type[SlidingSettings],
    request: Callable[[Any], Request],
    identifiers: Identifiers,
    read: Callable[[Any, Reply, int], Order],
    answer: str = "",
) -> Reranker:
    """A reranker that slides a window.

    request: see Reranker. identifiers: of the passages of a window. read: takes an answer and the number of
    its passages, and gives their order. answer: how the model's begins.
    """

    def rank(tokenizer: Tokenizer, settings: Any, candidates: list[Pair]) -> Conversation:
        order = [*range(len(candidates))]
        record, max_tokens = Record(len(candidates)), request(settings).max_tokens
        for place in slide(len(order), settings.window, settings.stride):
            members = order[place.start : place.stop]
            docs = [candidates[i] for i in members]
            prompt, reply = yield from ask_window(tokenizer, settings, docs, max_tokens, identifiers, answer)
            same = Order([*range(len(members))], 0)
            said = same if isinstance(reply, Unscored) else read(settings, reply, len(members))
            record.add(members, prompt, reply, said.named)
            order[place.start : place.stop] = [members[i] for i in said.numbers]
        return record.make_ranking(order)

    return make_query_reranker(settings, request, rank, lambda settings: identifiers, lambda settings: answer)
