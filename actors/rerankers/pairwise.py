"""Pairwise ranking prompting (PRP): which of two passages is more relevant, asked in both orders.

Source: llm-rankers, pairwise.py (arXiv 2306.17563), whose prompt is the default. A passage wins if both orders say so.
  method   `allpair`: all n (n - 1) prompts of a query; the score is the number of wins, and half of one for each draw.
           `heapsort`: a heap sort for the best `k`, two prompts a comparison, each of which waits for the one before;
           the candidates behind the best k keep the order they had, and the score is n - rank
The answer begins with ` Passage:`, and the exact log-probabilities of A and B behind it say which passage is meant; the
authors write one token, and count one that is neither as a draw.
"""

from collections.abc import Generator, Sequence
from typing import Literal

import numpy as np
from pydantic import model_validator

from actors.rerankers.comparisons import ANSWER, LABELS, ComparisonSettings, Steps, label_letters, sort_best
from actors.rerankers.contract import Conversation, FollowUp, Pair, Prompt, Reply, Request, Unscored
from actors.rerankers.described import Message
from actors.rerankers.record import Record
from actors.rerankers.tokenizer import Tokenizer
from actors.rerankers.windows import make_query_reranker, make_window

USER = """\
Given a query "{query}", which of the following two passages is more relevant to the query?

{passages}

Output Passage A or Passage B:"""
Wins = Generator[FollowUp, list[Reply | Unscored], list[float]]


class Pairwise(ComparisonSettings):
    method: Literal["allpair", "heapsort"] = "allpair"

    @model_validator(mode="after")
    def _check_used(self) -> "Pairwise":
        self.refuse_unused(self.method == "allpair", "method allpair puts all of them in order", "k")
        return self

    @property
    def asked(self) -> tuple[Message, ...]:
        return self.messages or (Message(role="user", content=USER),)


def request(settings: Pairwise) -> Request:
    return Request("generate", labels=label_letters(2))


def rank(tokenizer: Tokenizer, settings: Pairwise, candidates: list[Pair]) -> Conversation:
    order, record = [*range(len(candidates))], Record(len(candidates))

    def compare(one: int, others: Sequence[int]) -> Wins:
        """For each of the others, what `one` gets: 1 if it wins, 0 if it loses, 0.5 for a draw."""
        asked = [pair for other in others for pair in ((one, other), (other, one))]
        room = tokenizer.limit - 1
        prompts = [
            make_window(tokenizer, settings, [candidates[i] for i in pair], room, LABELS, ANSWER) for pair in asked
        ]
        ready = [prompt for prompt in prompts if isinstance(prompt, Prompt)]
        answers = iter((yield FollowUp([ids for prompt in ready for ids in prompt.sequences])) if ready else ())
        wins = []
        for pair, prompt in zip(asked, prompts, strict=True):
            reply = next(answers) if isinstance(prompt, Prompt) else prompt
            record.add(pair, prompt, reply, 0 if isinstance(reply, Unscored) else 2)
            wins.append(None if isinstance(reply, Unscored) else pair[int(np.argmax(np.asarray(reply.label_logprobs)))])
        return [
            0.5 if None in both or both[0] != both[1] else float(both[0] == one)
            for both in zip(wins[::2], wins[1::2], strict=True)
        ]

    def sift(at: int, size: int) -> Steps:
        while True:
            largest = at
            for child in (2 * at + 1, 2 * at + 2):
                if child < size and (yield from compare(order[child], [order[largest]])) == [1.0]:
                    largest = child
            if largest == at:
                return
            order[at], order[largest] = order[largest], order[at]
            at = largest

    if settings.method == "allpair":
        scores = np.zeros(len(order))
        for one in order[:-1]:
            wins = np.array((yield from compare(one, order[one + 1 :])))
            scores[one] += wins.sum()
            scores[one + 1 :] += 1 - wins
        return record.make_ranking(order, scores.tolist())
    yield from sort_best(order, 2, settings.k, sift)
    return record.make_ranking(order)


RERANKER = make_query_reranker(Pairwise, request, rank, lambda settings: LABELS, lambda settings: ANSWER)
