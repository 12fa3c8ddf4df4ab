"""FIRST (castorini/first_mistral, first_qwen3_*): a window's order from the first token that the model would write.

Source: arXiv 2406.15657, and gangiswag/llm-reranker, rank_listwise_os_llm.py; the default prompt is rank_llm's
rank_zephyr_alpha_template.yaml. The passages have letters, the answer begins with `[`, and the order is that of the
letters' log-probabilities behind it. So a window takes its prompt's time and writes nothing. The authors read the 120
likeliest tokens (30 in batches) and append letters that are not among them; here the log-probability of every letter is
read exactly.
"""

import numpy as np
from pydantic import Field

from actors.rerankers import listwise
from actors.rerankers.answers import Order
from actors.rerankers.contract import Behind, Reply, Request
from actors.rerankers.described import Message
from actors.rerankers.sliding import SlidingSettings, make_sliding_reranker
from actors.rerankers.windows import LETTERS

USER = listwise.USER.replace("a numerical", "an alphabetical").replace("[2] > [1]", "[B] > [A]")
DEFAULT = (listwise.DEFAULT[0], Message(role="user", content=USER))
ANSWER = "["


class First(SlidingSettings):
    max_passage_words: int | None = Field(default=300, ge=1)
    window: int = Field(default=20, ge=2, le=len(LETTERS.names))

    @property
    def asked(self) -> tuple[Message, ...]:
        return self.messages or DEFAULT


def request(settings: First) -> Request:
    return Request("generate", labels=tuple(Behind(ANSWER, name) for name in LETTERS.names[: settings.window]))


def read(settings: First, reply: Reply, count: int) -> Order:
    """The order of the letters' log-probabilities; equal ones keep the order they had."""
    return Order(np.argsort(-np.asarray(reply.label_logprobs)[:count], kind="stable").tolist(), count)


RERANKER = make_sliding_reranker(First, request, LETTERS, read, ANSWER)
