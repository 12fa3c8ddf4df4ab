"""Rerankers that answer with one of a few label tokens: `lb`, `qwen3`, `mxbai`, `bge_gemma`, `label`.

They generate one token and read the labels' exact log-probabilities there: never a top-k, which may lack an unlikely
label.
"""

from collections.abc import Callable, Mapping
from typing import Any, Literal

import numpy as np

from actors.rerankers.contract import FollowUp, Pair, Prompt, Reply, Request, Reranker, Side, Unscored
from actors.rerankers.settings import TextSettings
from actors.rerankers.templates import Template, fill_template, shorten_pairs
from actors.rerankers.tokenizer import Tokenizer

ONE_TOKEN_UNIT = 8192
Score = Callable[[np.ndarray, np.ndarray], float]


class LabelledSettings(TextSettings):
    """scoring: `exact` reads log-probabilities over the full vocabulary; `head` computes only the labels' logits, so
    probabilities are over the labels alone. Formulas that ignore all other tokens (probability, log-odds, a logit)
    give the same with both."""

    scoring: Literal["exact", "head"] = "exact"


def expectation(values: np.ndarray, logprobs: np.ndarray) -> float:
    """sum of value * p, with p over the full vocabulary: all other tokens have the value 0."""
    return float(values @ np.exp(logprobs))


def probability(values: np.ndarray, logprobs: np.ndarray) -> float:
    """sum of value * p, with p over the labels alone (their softmax). For the values 1 and 0: p_1 / (p_1 + p_0)."""
    p = np.exp(logprobs - logprobs.max())
    return float(values @ p / p.sum())


def log_odds(values: np.ndarray, logprobs: np.ndarray) -> float:
    """ln(p_1 / p_0) of two labels, of which p_1 belongs to the higher value; unbounded."""
    return float(logprobs[values.argmax()] - logprobs[values.argmin()])


def make_label_reranker(
    settings: type[LabelledSettings],
    template: Callable[[Tokenizer, Any], Template],
    labels: Callable[[Any], Mapping[str, float]],
    score: Callable[[Any], Score],
    prefix_side: Callable[[Any], Side] = lambda settings: "query",
    pair: Callable[[Any, Pair], Pair] = lambda settings, pair: pair,
    max_length: Callable[[Tokenizer, Any], int] = lambda tokenizer, settings: tokenizer.limit,
    logits: bool = False,
    version: int = 1,
) -> Reranker:
    """A reranker that reads label tokens.

    template: the prompt, for fill_template.
    labels: the labels' texts and their values.
    score: the formula: (values, log-probabilities), both of shape (labels,) -> score.
    prefix_side: see Reranker.
    pair: changes a pair before the template is filled, for example to put the instruction into the query.
    max_length: the most tokens of a prompt, for references that have such a limit.
    logits: the formula takes logits instead of log-probabilities.
    version: see Reranker.
    """

    def prompt(tokenizer: Tokenizer, settings: Any, pairs: list[Pair]) -> list[Prompt | Unscored]:
        room = min(tokenizer.limit - 1, max_length(tokenizer, settings))  # leaves a token for the answer
        short = shorten_pairs(tokenizer, pairs, settings.max_query_tokens, settings.max_doc_tokens)
        return fill_template(tokenizer, template(tokenizer, settings), [pair(settings, each) for each in short], room)

    def read(tokenizer: Tokenizer, settings: Any, replies: list[Reply]) -> float | Unscored | FollowUp:
        values = np.array(list(labels(settings).values()), dtype=np.float64)
        if settings.scoring == "exact":
            return score(settings)(values, np.asarray(replies[0].label_logprobs, dtype=np.float64))
        found = np.asarray(replies[0].vector, dtype=np.float64)
        return score(settings)(values, found if logits else found - np.logaddexp.reduce(found))

    def request(settings: Any) -> Request:
        return Request(
            "generate" if settings.scoring == "exact" else "classify", labels=tuple(labels(settings)), logits=logits
        )

    return Reranker(
        settings=settings,
        request=request,
        prefix_side=prefix_side,
        unit_rows=ONE_TOKEN_UNIT,
        prompt=prompt,
        score=read,
        version=version,
    )
