"""The contract of a reranker: all that the engine and the pipeline know of one."""

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np

from actors.rerankers.settings import Settings
from actors.rerankers.tokenizer import Tokenizer

Task = Literal["generate", "likelihood", "embed", "classify"]
Side = Literal["query", "doc"]


class Pair(NamedTuple):
    """The texts of one row.

    doc: begins with the document's title, if the input has one; its own text begins at `title_end`.
    instruction: the row's, or the config's where the row has none; None where neither has one.
    truncated: whether a text has been cut already.
    """

    query: str
    doc: str
    instruction: str | None = None
    truncated: bool = False
    title_end: int = 0


class Prompt(NamedTuple):
    """The engine's input for one pair: one or more sequences of token ids, as lists or arrays.

    truncated: whether a text was cut.
    boundary: the position in a single sequence where its second part begins: the text whose likelihood is asked for,
    or the tokens of type 1, for a model that has token types.
    """

    sequences: list[Any]
    truncated: bool = False
    boundary: int | None = None


class Unscored(NamedTuple):
    """The result for a pair that gets no score.

    reason: goes to the output's `reason` column. Metrics and logs show only what stands before its first colon, so
    texts of the row, the model or an error come after one.
    transient: another try, in a later run, may give the pair a score.
    """

    reason: str
    transient: bool = False


class Behind(NamedTuple):
    """A label that is read behind a text with which the prompt ends: its token there, where it may be another one than
    at the start of a text."""

    text: str
    label: str


class Request(NamedTuple):
    """The kind of request that a reranker makes for each sequence of a prompt.

    task: `generate` writes new tokens; `likelihood` gives the log-probabilities of the tokens from the prompt's
    boundary on; `embed` gives a vector; `classify` gives the logits of a classification head.
    max_tokens: the most new tokens of a generation.
    labels: texts of one token each, ids of tokens, or texts behind another. If max_tokens is 1, the reply holds their
    exact log-probabilities at the new token (or their logits); longer generations carry no probabilities, which would
    cost time at every token. With `classify` and labels, only the labels' logits are computed, from their rows of the
    model's head.
    logits: replies hold logits instead of log-probabilities.
    stop: a generation ends with the first of these texts, which stays in its text.
    spare: tokens of the context that a generation leaves free for follow-ups.
    rounds: how many generations of max_tokens a pair can take.
    """

    task: Task
    max_tokens: int = 1
    labels: tuple[str | int | Behind, ...] = ()
    logits: bool = False
    stop: tuple[str, ...] = ()
    spare: int = 0
    rounds: int = 1


@dataclass(frozen=True, slots=True)
class Reply:
    """The engine's reply to one sequence.

    prompt: the sequence. cached_tokens: how many of its tokens came from the prefix cache.
    tokens, text: the generation, without an end token. stopped: the stop text that ended it. finished: False if it
    was cut off at its limit.
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
    """More sequences that a pair's score needs, or a query's ranking; the engine computes them before any new pair.

    max_tokens: 1 reads the labels' log-probabilities; more generates.
    To continue a generation, append to its ids ([*reply.prompt, *reply.tokens, ...]), which reuses what the model has
    computed; or append its text, as references that work on texts do: tokenizer.append(reply.prompt, text).
    The first generation must leave room for what is appended: Request.spare.
    """

    sequences: list[list[int]]
    max_tokens: int = 1


class Ranking(NamedTuple):
    """The result for the candidates of one query, in the order in which they were given.

    scores: of each, the higher the better. texts: what the model wrote about each, a line for each answer; None without
    any. figures: counts to sum over queries, by the names of WINDOW_FIGURES.
    """

    scores: list[float | Unscored]
    texts: list[str | None]
    figures: dict[str, int]


# windows: what the engine was asked. partial: answers that name some of their candidates alone; the others keep their
# order behind these. unread: windows that kept the order they came in, for no answer to them could be read. shortened:
# windows whose passages were cut once more, to fit the context.
WINDOW_FIGURES = ("windows", "windows_partial", "windows_unread", "windows_shortened")
Conversation = Generator[FollowUp, list[Reply | Unscored], Ranking]


class WholeQuery(NamedTuple):
    """How a reranker sees all candidates of a query together.

    shorten: pairs with their documents as they stand in prompts, so that long texts do not travel; `truncated` is set
    where one was cut.
    rank: the candidates of one query, best first by the ranking that it was given -> a conversation, which yields what
    the engine is to compute next, gets the replies to that, in the same order, and returns the ranking.
    """

    shorten: Callable[[Tokenizer, Any, list[Pair]], list[Pair]]
    rank: Callable[[Tokenizer, Any, list[Pair]], Conversation]


@dataclass(frozen=True)
class Reranker:
    """A family of rerankers: data, and a few short functions of its settings.

    settings: the class of its `reranker` section.
    request: the kind of request for each sequence of a prompt.
    prefix_side: the text that comes first in the prompt; pairs that share it are kept together, to share its prefix.
    unit_rows: pairs in a unit of work, about a minute of one worker; a killed worker loses at most those in flight.
    prompt: pairs -> a prompt each, or the reason why there is none.
    score: the replies to a pair's sequences -> its score, the reason why it has none, or follow-up sequences; it is
    called again with the replies to those appended.
    whole_query: for a reranker that sees a query's candidates together; its `prompt` is that of a pair alone, which
    shows what a window looks like, and its `score` is never called. None for one that scores each pair by itself.
    version: of its prompts and its formula. Raised when the same settings and texts make other numbers, so that no
    earlier scores are taken for today's.
    """

    settings: type[Settings]
    request: Callable[[Any], Request]
    prefix_side: Callable[[Any], Side]
    unit_rows: int
    prompt: Callable[[Tokenizer, Any, list[Pair]], list[Prompt | Unscored]]
    score: Callable[[Tokenizer, Any, list[Reply]], float | Unscored | FollowUp]
    version: int = 1
    whole_query: WholeQuery | None = None
