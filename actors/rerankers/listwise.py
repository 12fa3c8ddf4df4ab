"""Models that write the order of a window of passages: RankZephyr, RankVicuna, RankGPT on any chat model, ReasonRank,
Rank-K, Rearank, and others of the kind, which are described in a config alone.

Source: rank_llm, rerank/listwise/; the default prompt is its rank_zephyr_template.yaml. The configs of other models say
what their code does. windows.py says how a prompt is made, answers.py how an answer is read.
  answer_after     the answer is read behind the last of this text, such as `<answer>`, and cannot be read without it;
                   by default behind the last `</think>`, or from the start where the model wrote none
  answer_line      `last`: only its last line is read
  ties             the sign between passages that are equally good
  max_new_tokens   by default 8 for each passage of a window: enough for `[12] > ` in any tokenizer
Answers are greedy, whatever a model's authors sample. Prompt and answer share the context.
"""

from typing import Literal

from pydantic import Field, field_validator

from actors.rerankers.answers import Order, find_answer, find_last_line, read_numbers
from actors.rerankers.contract import Reply, Request
from actors.rerankers.described import Message
from actors.rerankers.sliding import SlidingSettings, make_sliding_reranker
from actors.rerankers.windows import NUMBERS

SYSTEM = "You are RankLLM, an intelligent assistant that can rank passages based on their relevancy to the query"
USER = """\
I will provide you with {num} passages, each indicated by a numerical identifier []. \
Rank the passages based on their relevance to the search query: {query}.
{passages}
Search Query: {query}.
Rank the {num} passages above based on their relevance to the search query. \
All the passages should be included and listed using identifiers, in descending order of relevance. \
The output format should be [] > [], e.g., [2] > [1], \
Answer concisely and directly and only respond with the ranking results, do not say any word or explain."""
DEFAULT = (Message(role="system", content=SYSTEM), Message(role="user", content=USER))
TOKENS_OF_IDENTIFIER = 8


class Listwise(SlidingSettings):
    max_passage_words: int | None = Field(default=300, ge=1)
    answer_after: str | None = Field(default=None, min_length=1)
    answer_line: Literal["all", "last"] = "all"
    ties: str = ""
    max_new_tokens: int | None = Field(default=None, ge=2)

    @field_validator("ties")
    @classmethod
    def _check_ties(cls, ties: str) -> str:
        if ">" in ties or any(sign.isalnum() for sign in ties):
            raise ValueError("should be a sign other than '>', such as '='")
        return ties

    @property
    def asked(self) -> tuple[Message, ...]:
        return self.messages or DEFAULT


def request(settings: Listwise) -> Request:
    return Request("generate", settings.max_new_tokens or TOKENS_OF_IDENTIFIER * settings.window)


def read(settings: Listwise, reply: Reply, count: int) -> Order:
    """The order that an answer about `count` passages gives."""
    text = find_answer(reply.text, settings.answer_after)
    if settings.answer_line == "last":
        text = find_last_line(text)
    return read_numbers(text, count, reply.finished, settings.ties)


RERANKER = make_sliding_reranker(Listwise, request, NUMBERS, read)
