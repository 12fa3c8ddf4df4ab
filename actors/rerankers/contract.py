"""What a reranker declares. The engine and the pipeline know a reranker only through these few names."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np

from actors.rerankers.settings import Settings
from actors.rerankers.tokenizer import Tokenizer

Task = Literal["generate", "likelihood", "embed", "classify"]
Side = Literal["query", "doc"]


class Pair(NamedTuple):
    """The texts of one row, the document's title before it where the input has one.

    instruction: None where the input has no such column, or null in it. truncated: whether a text was cut.
    """

    query: str
    doc: str
    instruction: str | None = None
    truncated: bool = False


class Prompt(NamedTuple):
    """What the engine is given for one pair: one or more sequences of token ids, as lists or arrays.

    boundary: where the second part of the (one) sequence begins: the text whose likelihood is asked for, or the tokens
    of type 1 of a model that has token types.
    """

    sequences: list[Any]
    truncated: bool = False
    boundary: int | None = None


class Unscored(NamedTuple):
    """A pair that gets no score, and why: it stands in the output's `reason` column.

    Words of the row, of the model or of an error stand behind a colon: labels and logs have what comes before it.
    transient: another try, in a later run, may give it one.
    """

    reason: str
    transient: bool = False


class Request(NamedTuple):
    """What is asked of the engine for each sequence.

    task: `generate` new tokens; `likelihood` of the tokens from the prompt's boundary on; the vector of an `embed`ding;
    the logits of a `classify` head.
    labels: texts of one token each. Where one new token is asked for, their exact log-probabilities at that place are
    read (or their logits), and nothing else is; a longer generation carries no probabilities, which would cost time
    for each of its tokens. To `classify` with labels is to compute their logits alone, from their rows of the model's
    head.
    stop: a generation ends with the first of these texts, which it keeps.
    spare: tokens of the context that a generation leaves free for what is asked after it.
    rounds: how often a pair is asked, at most, for so many tokens.
    """

    task: Task
    max_tokens: int = 1
    labels: tuple[str, ...] = ()
    logits: bool = False
    stop: tuple[str, ...] = ()
    spare: int = 0
    rounds: int = 1


@dataclass(frozen=True, slots=True)
class Reply:
    """What the engine gave for one sequence.

    tokens, text: what it generated, without an end token; stopped: the stop text that ended it; finished: whether it
    ended of itself, and not at its limit.
    label_logprobs: natural log-probabilities over the full vocabulary (or logits), in the order of Request.labels.
    token_logprobs: natural log-probability of each prompt token from the boundary on.
    vector: an embedding, or a classifier's logits; float32.
    """

    prompt: list[int]
    cached_tokens: int = 0
    tokens: tuple[int, ...] = ()
    text: str = ""
    stopped: str | None = None
    finished: bool = True
    label_logprobs: np.ndarray | None = None
    token_logprobs: np.ndarray | None = None
    vector: np.ndarray | None = None


class FollowUp(NamedTuple):
    """A pair whose score needs more from the engine: sequences that are asked for next, before any new pair.

    To go on after a generation, either add to its ids ([*reply.prompt, *reply.tokens, ...]: the model goes on from
    what it computed), or, as references that work on texts do, tokenise it anew: tokenizer.after(reply.prompt, text).
    The first generation must leave room for what is added: Request.spare.
    """

    sequences: list[list[int]]
    max_tokens: int = 1


@dataclass(frozen=True)
class Reranker:
    """A family of rerankers: declared data and a few short functions of its settings.

    request: what is asked for each sequence of a prompt.
    shared: the side of the pair that comes first in the prompt, so that neighbours can share its prefix.
    unit_rows: pairs in a unit of work, about a minute of one worker; a killed worker loses at most those in flight.
    prompt: pairs -> prompts, or why a pair cannot have one.
    score: the replies to a pair's sequences -> its score, why it has none, or what to ask next; in that case it is
    called again with the replies to that after those it knows.
    """

    settings: type[Settings]
    request: Callable[[Any], Request]
    shared: Callable[[Any], Side]
    unit_rows: int
    prompt: Callable[[Tokenizer, Any, list[Pair]], list[Prompt | Unscored]]
    score: Callable[[Tokenizer, Any, list[Reply]], float | Unscored | FollowUp]
