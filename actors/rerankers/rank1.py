"""rank1 (jhu-clsp/rank1-*): reasons, then writes ` true` or ` false`; the score is p(true) / (p(true) + p(false)).

The score is in (0, 1); `score: logit` is ln(p(true) / p(false)). Source: the authors' rank1.py. A generation that ends
with `</think> true` or `</think> false` is scored by the two probabilities at its last token. Any other is completed as
in the reference: the reasoning is cut after its last full sentence, `</think>` is appended, and the two probabilities
are read there. We differ in that
  both probabilities are exact, so a confident answer needs no second request and a missing one never makes a score of
  0.5; a follow-up of one token reads them, so that the reasoning carries no probabilities
  rethink: n   the reasoning before its first `</think>` is continued with "Wait", n times; the last round is scored
  if a prompt leaves less than a quarter of max_new_tokens, its document is cut (the reference cuts nothing)
"""

import re
from typing import Literal

import numpy as np
from pydantic import Field, field_validator

from actors.rerankers.contract import FollowUp, Pair, Prompt, Reply, Request, Reranker, Unscored
from actors.rerankers.formulas import SCORES
from actors.rerankers.settings import TextSettings
from actors.rerankers.split import split_template
from actors.rerankers.templates import Template, fill_template, room_to_write, shorten_pairs
from actors.rerankers.tokenizer import DOC, QUERY, Tokenizer

PROMPT = (
    "Determine if the following passage is relevant to the query. Answer only with 'true' or 'false'.\n"
    f"Query: {QUERY}\nPassage: {DOC}\n<think>"
)
LABELS, VALUES = (" true", " false"), np.array([1, 0])
STOP = ("</think> true", "</think> false")
FORCED = "\n</think>"
WAIT = "\nWait"
PLACEHOLDERS = ("{query}", "FILL_QUERY_HERE")  # the second is the one in the authors' prompts.py
SPARE = 16  # tokens for FORCED or WAIT, and for reasoning that gets longer when its text is tokenised again


class Rank1(TextSettings):
    score: Literal["probability", "logit"] = "probability"
    instruction: str | None = None
    query_template: str = "{query}"
    max_new_tokens: int = Field(default=8192, ge=2)
    rethink: int = Field(default=0, ge=0)

    @property
    def templates(self) -> str:
        return self.query_template

    @field_validator("query_template")
    @classmethod
    def _check_placeholder(cls, template: str) -> str:
        if not any(placeholder in template for placeholder in PLACEHOLDERS):
            raise ValueError(f"must contain {' or '.join(PLACEHOLDERS)}")
        return template


def request(settings: Rank1) -> Request:
    rounds = 1 + settings.rethink
    return Request("generate", settings.max_new_tokens, LABELS, stop=STOP, spare=SPARE, rounds=rounds)


def prompt(tokenizer: Tokenizer, settings: Rank1, pairs: list[Pair]) -> list[Prompt | Unscored]:
    before, _ = tokenizer.ids_around
    asked = re.sub("|".join(map(re.escape, PLACEHOLDERS)), QUERY, settings.query_template)
    template: Template = [*before, *split_template(tokenizer, PROMPT.replace(QUERY, asked))]
    short = shorten_pairs(tokenizer, pairs, settings.max_query_tokens, settings.max_doc_tokens)
    room = room_to_write(tokenizer, settings.max_new_tokens, SPARE)
    return fill_template(tokenizer, template, [_add_instruction(pair) for pair in short], room)


def _add_instruction(pair: Pair) -> Pair:
    """The pair with the query as in the reference: followed by the instruction."""
    if pair.instruction is None:
        return pair
    same = pair.query.strip() == pair.instruction.strip()
    return pair._replace(query=pair.query.strip() if same else f"{pair.query} {pair.instruction}".strip())


def score(tokenizer: Tokenizer, settings: Rank1, replies: list[Reply]) -> float | Unscored | FollowUp:
    last = replies[-1]
    if last.label_logprobs is not None:
        return SCORES[settings.score](VALUES, np.asarray(last.label_logprobs, dtype=np.float64))
    prompt = replies[0].prompt
    if len(replies) <= settings.rethink:
        reasoning = _join_rounds(replies).split("</think>")[0]
        sequence = tokenizer.append(prompt, reasoning + WAIT)
        if len(sequence) < tokenizer.limit - SPARE:
            return FollowUp([sequence], max_tokens=settings.max_new_tokens)
    if last.stopped in STOP and last.tokens[-1] in tokenizer.label_ids(LABELS):
        return FollowUp([last.prompt + list(last.tokens[:-1])])
    return FollowUp([_force_answer(tokenizer, prompt, _join_rounds(replies).removesuffix(last.stopped or ""))])


def _join_rounds(replies: list[Reply]) -> str:
    """The text of all rounds, as the last round continued it."""
    first, *others = replies
    text = first.text
    for reply in others:
        text = text.split("</think>")[0] + WAIT + reply.text
    return text


def _force_answer(tokenizer: Tokenizer, prompt: list[int], text: str) -> list[int]:
    """The prompt with the reasoning up to its last full sentence and `</think>`, so that the answer comes next."""
    text = text.rstrip()
    if not text.endswith((".", "!", "?")) and (end := max(map(text.rfind, ".!?"))) >= 0:
        text = text[: end + 1]
    sequence = tokenizer.append(prompt, f"\n{text.strip()}{FORCED}")
    if (over := len(sequence) + 1 - tokenizer.limit) > 0:  # it got longer when its text was tokenised again
        close = tokenizer.append(prompt, FORCED)[len(prompt) :]
        sequence = sequence[: -len(close) - over] + close
    return sequence


RERANKER = Reranker(
    settings=Rank1,
    request=request,
    prefix_side=lambda settings: "query",
    unit_rows=256,
    prompt=prompt,
    score=score,
    version=2,
)
