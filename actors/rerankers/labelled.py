"""Rerankers that answer with one of a few label tokens: `lb`, `qwen3`, `mxbai`, `bge_gemma`, `label`.

They generate one token and read the labels' exact log-probabilities there: never a top-k, which may lack an unlikely
label.
"""

from collections.abc import Callable, Mapping
from typing import Any, Literal

import numpy as np

from actors.rerankers.contract import FollowUp, Pair, Prompt, Reply, Request, Reranker, Side, Task, Unscored
from actors.rerankers.formulas import SCORES, Formula, expectation
from actors.rerankers.settings import TextSettings
from actors.rerankers.templates import Template, fill_template, shorten_pairs
from actors.rerankers.tokenizer import Tokenizer

ONE_TOKEN_UNIT = 8192


class LabelledSettings(TextSettings):
    """scoring: `exact` reads log-probabilities over the full vocabulary; `head` computes only the labels' logits, so
    probabilities are over the labels alone. Formulas that ignore all other tokens (probability, logit) give the same
    with both."""

    scoring: Literal["exact", "head"] = "exact"


def make_label_reranker(
    settings: type[LabelledSettings],
    template: Callable[[Tokenizer, Any], Template],
    labels: Callable[[Any], Mapping[Any, float]],
    score: Callable[[Any], Formula] = lambda settings: SCORES[settings.score],
    prefix_side: Callable[[Any], Side] = lambda settings: "query",
    pair: Callable[[Any, Pair], Pair] = lambda settings, pair: pair,
    max_length: Callable[[Tokenizer, Any], int] = lambda tokenizer, settings: tokenizer.limit,
    version: int = 1,
) -> Reranker:
    """A reranker that reads label tokens.

    template: the prompt, for fill_template.
    labels: the labels, as in Request, and their values.
    score: the formula; by default the one that `score` of the settings names.
    prefix_side: see Reranker.
    pair: changes a pair before the template is filled, for example to put the instruction into the query.
    max_length: the most tokens of a prompt, for references that have such a limit.
    version: see Reranker.
    """

    def needs_logits(settings: Any) -> bool:
        return len(labels(settings)) == 1 and score(settings) is not expectation

    def prompt(tokenizer: Tokenizer, settings: Any, pairs: list[Pair]) -> list[Prompt | Unscored]:
        room = min(tokenizer.limit - 1, max_length(tokenizer, settings))  # leaves a token for the answer
        short = shorten_pairs(tokenizer, pairs, settings.max_query_tokens, settings.max_doc_tokens)
        return fill_template(tokenizer, template(tokenizer, settings), [pair(settings, each) for each in short], room)

    def read(tokenizer: Tokenizer, settings: Any, replies: list[Reply]) -> float | Unscored | FollowUp:
        values = np.array(list(labels(settings).values()), dtype=np.float64)
        if settings.scoring == "exact":
            return score(settings)(values, np.asarray(replies[0].label_logprobs, dtype=np.float64))
        found = np.asarray(replies[0].vector, dtype=np.float64)
        return score(settings)(values, found if needs_logits(settings) else found - np.logaddexp.reduce(found))

    def request(settings: Any) -> Request:
        task: Task = "generate" if settings.scoring == "exact" else "classify"
        return Request(task, labels=tuple(labels(settings)), logits=needs_logits(settings))

    return Reranker(
        settings=settings,
        request=request,
        prefix_side=prefix_side,
        unit_rows=ONE_TOKEN_UNIT,
        prompt=prompt,
        score=read,
        version=version,
    )
