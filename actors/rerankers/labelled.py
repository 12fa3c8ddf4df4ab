"""What all rerankers share that answer with one of a few tokens: `lb`, `qwen3`, `mxbai`, `bge_gemma`, `label`.

One new token is asked for, and the labels' exact log-probabilities at its place are read: never a top-k, in which
an unlikely label can be missing.
"""

from collections.abc import Callable, Mapping
from typing import Any, Literal

import numpy as np

from actors.rerankers.contract import FollowUp, Pair, Prompt, Reply, Request, Reranker, Side, Unscored
from actors.rerankers.settings import TextSettings
from actors.rerankers.templates import Template, filled, shortened
from actors.rerankers.tokenizer import Tokenizer

ONE_TOKEN_UNIT = 8192
Score = Callable[[np.ndarray, np.ndarray], float]


class LabelledSettings(TextSettings):
    """scoring: `exact` reads log-probabilities over the full vocabulary; `head` computes the labels' logits and no
    other, so that probabilities are over the labels alone. Formulas that take no account of other tokens
    (probability, log-odds, a logit) give the same by both."""

    scoring: Literal["exact", "head"] = "exact"


def expectation(values: np.ndarray, logprobs: np.ndarray) -> float:
    """sum of value * p, with p over the full vocabulary: what goes to other tokens counts as 0."""
    return float(values @ np.exp(logprobs))


def probability(values: np.ndarray, logprobs: np.ndarray) -> float:
    """sum of value * p, with p over the labels alone (their softmax). For the values 1 and 0: p_1 / (p_1 + p_0)."""
    p = np.exp(logprobs - logprobs.max())
    return float(values @ p / p.sum())


def log_odds(values: np.ndarray, logprobs: np.ndarray) -> float:
    """ln(p_1 / p_0) of two labels, the one with the higher value over the other. It has no bounds."""
    return float(logprobs[values.argmax()] - logprobs[values.argmin()])


def labelled(
    settings: type[LabelledSettings],
    template: Callable[[Tokenizer, Any], Template],
    labels: Callable[[Any], Mapping[str, float]],
    score: Callable[[Any], Score],
    shared: Callable[[Any], Side] = lambda settings: "query",
    pair: Callable[[Any, Pair], Pair] = lambda settings, pair: pair,
    max_length: Callable[[Tokenizer, Any], int] = lambda tokenizer, settings: tokenizer.limit,
    logits: bool = False,
) -> Reranker:
    """A reranker that reads label tokens.

    labels: the labels' texts and their values. score: the formula, of the values and the log-probabilities.
    pair: puts an instruction, say, into the query before the template is filled. max_length: the most tokens of a
    prompt, where the reference has a limit of its own. logits: the model's logits are read in place of
    log-probabilities.
    """

    def prompt(tokenizer: Tokenizer, settings: Any, pairs: list[Pair]) -> list[Prompt | Unscored]:
        room = min(tokenizer.limit - 1, max_length(tokenizer, settings))  # one token less, though `head` writes none
        short = shortened(tokenizer, pairs, settings.max_query_tokens, settings.max_doc_tokens)
        return filled(tokenizer, template(tokenizer, settings), [pair(settings, each) for each in short], room)

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
        shared=shared,
        unit_rows=ONE_TOKEN_UNIT,
        prompt=prompt,
        score=read,
    )
