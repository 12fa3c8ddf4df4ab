"""What a reranker declares. The engine and the pipeline know a reranker only through these few names."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

if TYPE_CHECKING:
    from actors.tokens import Encoder


class Settings(BaseModel):
    """The `reranker` section that every family shares; a family adds its own keys to it."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, protected_namespaces=())

    type: str
    model: str = Field(min_length=1)
    revision: str | None = None
    trust_remote_code: bool = False


class Pair(NamedTuple):
    """The texts of one row. `title` and `instruction` are None where the input has no such column."""

    query: str
    doc: str
    title: str | None = None
    instruction: str | None = None


class Prompt(NamedTuple):
    """What the engine is given for one pair: one or more sequences of token ids."""

    sequences: list[list[int]]
    truncated: bool = False


class Unscored(NamedTuple):
    """A pair that gets no score, and why: it stands in the output's `reason` column."""

    reason: str


class Request(NamedTuple):
    """What is asked of the engine for each sequence.

    labels: texts of one token each, whose exact log-probabilities at the last position are read.
    """

    task: Literal["generate", "embed"]
    max_tokens: int = 1
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Reply:
    """What the engine gave for one sequence.

    label_logprobs: natural log-probabilities over the full vocabulary, in the order of Request.labels.
    embedding: the sequence's vector, float32.
    """

    prompt_tokens: int
    cached_tokens: int = 0
    new_tokens: int = 0
    label_logprobs: np.ndarray | None = None
    embedding: np.ndarray | None = None


@dataclass(frozen=True)
class Reranker:
    """A family of rerankers: declared data and two short functions.

    shared: the side of the pair that comes first in the prompt, so that neighbours can share its prefix.
    unit_rows: pairs in a unit of work, about a minute of one worker; a killed worker loses at most those in flight.
    prompt: pairs -> prompts, or why a pair cannot have one.
    score: settings and the replies to a pair's sequences -> its score, or why it has none.
    """

    settings: type[Settings]
    request: Request
    shared: Literal["query", "doc"]
    unit_rows: int
    prompt: Callable[["Encoder", Any, list[Pair]], list[Prompt | Unscored]]
    score: Callable[[Any, list[Reply]], float | Unscored]
