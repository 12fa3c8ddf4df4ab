"""The queries of a unit that wait for the engine: for rerankers that see all candidates of a query together.

Each query is a conversation of its own (WholeQuery.rank), and all of them are held at once, so that the windows of one
query, which wait for each other, leave no place in the engine's batch empty.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from actors.engines.contract import EngineRequest
from actors.rerankers.contract import Conversation, Pair, Ranking, Reply, Unscored
from actors.worker.pending import FIGURES, count_reply


class PendingQueries:
    """The queries of a unit and their rankings so far; used as Pending is.

    queries: the candidates of each, best first. rank: begins a conversation about one. writes: whether an answer is
    longer than one token.
    """

    def __init__(self, queries: Sequence[list[Pair]], rank: Callable[[list[Pair]], Conversation], writes: bool):
        self.figures = dict(FIGURES)
        self._writes = writes
        self._asked = 0
        self._waiting: dict[int, _Query] = {}
        self._queries = [_Query(rank(candidates)) for candidates in queries]
        self.left = len(queries)
        self.first = [request for query in self._queries for request in self._go_on(query, None)]

    def take(self, number: int, reply: Reply | Unscored) -> list[EngineRequest]:
        """Takes a reply. Returns the requests that follow from it."""
        if isinstance(reply, Reply):
            broken = reply.label_logprobs is not None and bool(np.isnan(reply.label_logprobs).any())
            count_reply(self.figures, reply, probabilities=not broken)
            reply = Unscored("the model's log-probabilities are nan") if broken else reply
        query = self._waiting.pop(number)
        query.replies[number] = reply
        if any(found is None for found in query.replies.values()):
            return []
        return self._go_on(query, [found for found in query.replies.values() if found is not None])

    def scores(self) -> list[list[float | Unscored]]:
        """The scores of each query's candidates, in their order."""
        return [query.ranking.scores for query in self._queries]

    def texts(self) -> list[list[str | None]]:
        """The texts that the model wrote about them."""
        return [query.ranking.texts for query in self._queries]

    def _go_on(self, query: "_Query", replies: list[Reply | Unscored] | None) -> list[EngineRequest]:
        """Hands a conversation its replies. Returns the requests that it needs next, if any."""
        try:
            asked = next(query.conversation) if replies is None else query.conversation.send(replies)
        except StopIteration as end:
            query.ranking = end.value
            for name, count in query.ranking.figures.items():
                self.figures[name] += count
            self.left -= 1
            return []
        # A query that has begun goes before those that have not, where the engine knows two kinds of requests. Where an
        # answer is one token, a request that follows would be kept until there are several of them.
        follows = replies is not None and self._writes
        requests = [
            EngineRequest(self._asked + i, tokens, None, asked.max_tokens, follows)
            for i, tokens in enumerate(asked.sequences)
        ]
        self._asked += len(requests)
        query.replies = dict.fromkeys(request.number for request in requests)
        self._waiting |= dict.fromkeys(query.replies, query)
        return requests


class _Query:
    """A query. replies: those to the requests that it waits for, None so far."""

    def __init__(self, conversation: Conversation):
        self.conversation = conversation
        self.replies: dict[int, Reply | Unscored | None] = {}
        self.ranking = Ranking([], [], {})


def join_rankings(
    queries: Sequence[list[Pair]], scores: Sequence[Any], texts: Sequence[Any]
) -> tuple[list[float | Unscored], list[str | None]]:
    """The score and the text of each candidate of all queries.

    scores, texts: of each query; in place of its scores a reason for all of its candidates, and None for its texts.
    """
    joined: list[float | Unscored] = []
    written: list[str | None] = []
    for query, found, text in zip(queries, scores, texts, strict=True):
        joined += [found] * len(query) if isinstance(found, Unscored) else found
        written += [None] * len(query) if text is None else text
    return joined, written
