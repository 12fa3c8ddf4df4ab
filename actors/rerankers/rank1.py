"""rank1 (jhu-clsp/rank1-*): reasons, then writes ` true` or ` false`; the score is p(true) / (p(true) + p(false)).

Source: the authors' rank1.py. A generation that ends with `</think> true` or `</think> false` is scored by the two
probabilities at its last token. Any other is completed as the reference does: the reasoning is cut after its last
full sentence, `</think>` put after it, and the two probabilities read there. Differences, each a repair:
  both probabilities are read exactly, so that a confident answer needs no second look, and no score is ever 0.5 for
  want of a number; they are read from one more token, so that the reasoning carries none
  rethink: n   the reasoning up to its first `</think>` goes on with "Wait", n times; the last round gives the score
  a prompt that leaves less than a quarter of max_new_tokens is cut at the document (the reference cuts nothing)
The score is in (0, 1).
"""

import re

import numpy as np
from pydantic import Field, field_validator

from actors.rerankers.contract import FollowUp, Pair, Prompt, Reply, Request, Reranker, Unscored
from actors.rerankers.settings import TextSettings
from actors.rerankers.templates import Template, filled, room_to_write, shortened
from actors.rerankers.tokenizer import DOC, QUERY, Tokenizer

PROMPT = (
    "Determine if the following passage is relevant to the query. Answer only with 'true' or 'false'.\n"
    f"Query: {QUERY}\nPassage: {DOC}\n<think>"
)
LABELS = (" true", " false")
STOP = ("</think> true", "</think> false")
FORCED = "\n</think>"
WAIT = "\nWait"
HOLES = ("{query}", "FILL_QUERY_HERE")  # the second is what the authors' prompts.py writes
SPARE = 16  # tokens for FORCED, WAIT, and what the reasoning may grow by when it is tokenised anew


class Rank1(TextSettings):
    instruction: str | None = None
    query_template: str = "{query}"
    max_new_tokens: int = Field(default=8192, ge=2)
    rethink: int = Field(default=0, ge=0)

    @field_validator("query_template")
    @classmethod
    def _holds_the_query(cls, template: str) -> str:
        if not any(hole in template for hole in HOLES):
            raise ValueError(f"must contain {' or '.join(HOLES)}")
        return template


def request(settings: Rank1) -> Request:
    rounds = 1 + settings.rethink
    return Request("generate", settings.max_new_tokens, LABELS, stop=STOP, spare=SPARE, rounds=rounds)


def prompt(tokenizer: Tokenizer, settings: Rank1, pairs: list[Pair]) -> list[Prompt | Unscored]:
    before, _ = tokenizer.around
    template: Template = [*before, *tokenizer.pieces(PROMPT)]
    short = shortened(tokenizer, pairs, settings.max_query_tokens, settings.max_doc_tokens)
    room = room_to_write(tokenizer, settings.max_new_tokens, SPARE)
    return filled(tokenizer, template, [_with_query(settings, pair) for pair in short], room)


def _with_query(settings: Rank1, pair: Pair) -> Pair:
    """The pair with the query as the reference asks it: the instruction after it, then the template around both."""
    query = pair.query
    if pair.instruction is not None:
        same = query.strip() == pair.instruction.strip()
        query = query.strip() if same else f"{query} {pair.instruction}".strip()
    return pair._replace(query=re.sub("|".join(map(re.escape, HOLES)), lambda _: query, settings.query_template))


def score(tokenizer: Tokenizer, settings: Rank1, replies: list[Reply]) -> float | Unscored | FollowUp:
    last = replies[-1]
    if last.label_logprobs is not None:
        true, false = np.asarray(last.label_logprobs, dtype=np.float64)
        return float(1 / (1 + np.exp(false - true)))
    prompt = replies[0].prompt
    if len(replies) <= settings.rethink:
        reasoning = _reasoning(replies).split("</think>")[0]
        sequence = tokenizer.after(prompt, reasoning + WAIT)
        if len(sequence) < tokenizer.limit - SPARE:
            return FollowUp([sequence], max_tokens=settings.max_new_tokens)
    if last.stopped in STOP and last.tokens[-1] in tokenizer.label_ids(LABELS):
        return FollowUp([last.prompt + list(last.tokens[:-1])])
    return FollowUp([_forced(tokenizer, prompt, _reasoning(replies).removesuffix(last.stopped or ""))])


def _reasoning(replies: list[Reply]) -> str:
    """What the model has written over all rounds, as the last of them saw it."""
    first, *others = replies
    text = first.text
    for reply in others:
        text = text.split("</think>")[0] + WAIT + reply.text
    return text


def _forced(tokenizer: Tokenizer, prompt: list[int], text: str) -> list[int]:
    """The prompt with the reasoning up to its last full sentence, closed."""
    text = text.rstrip()
    if not text.endswith((".", "!", "?")) and (end := max(map(text.rfind, ".!?"))) >= 0:
        text = text[: end + 1]
    sequence = tokenizer.after(prompt, f"\n{text.strip()}{FORCED}")
    if (over := len(sequence) + 1 - tokenizer.limit) > 0:  # it grew when it was tokenised anew
        close = tokenizer.after(prompt, FORCED)[len(prompt) :]
        sequence = sequence[: -len(close) - over] + close
    return sequence


RERANKER = Reranker(
    settings=Rank1,
    request=request,
    shared=lambda settings: "query",
    unit_rows=256,
    prompt=prompt,
    score=score,
)
