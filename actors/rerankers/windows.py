"""Windows: candidates of a query that a model is shown together. Rerankers of whole queries share this.

The prompt is data. In `messages`, for the model's chat template, or in `prompt`, a raw text,
  {query}      is the query
  {num}        is how many passages the window has
  {passages}   is all of them, each written as `passage` says, with `separator` between
Messages with {i} or {passage} in place of {passages} are repeated for each passage, for models that get one a turn.

A passage is a document with its title before it, cut to its first words, tokens or characters. As in rank_llm, its
characters are mended by ftfy and its white space is collapsed (`fix_text`), and what would look like an identifier of
the prompt is put in parentheses. If a window does not fit the context, its longest passages are cut to one length that
does; rank_llm takes words from all of them.
"""

import re
from collections.abc import Callable, Generator, Sequence
from typing import Any, NamedTuple

import ftfy
import numpy as np
from pydantic import Field, model_validator

from actors.rerankers.contract import (
    Conversation,
    FollowUp,
    Pair,
    Prompt,
    Reply,
    Request,
    Reranker,
    Unscored,
    WholeQuery,
)
from actors.rerankers.described import Message, PromptSettings
from actors.rerankers.split import render_chat, split_template
from actors.rerankers.templates import Template, fill_window
from actors.rerankers.tokenizer import DOC, QUERY, Tokenizer

UNIT = 1000  # candidates: of a hundred a query, ten queries
LIMITS = ("max_passage_words", "max_passage_tokens", "max_passage_characters")


class Identifiers(NamedTuple):
    """How the passages of a window are called. names: of the first, the second, and so on, of as many as there may be;
    none where they are numbered. bracketed: what looks like one of them in a text."""

    names: str
    bracketed: re.Pattern[str]

    def name(self, number: int) -> str:
        """That of a passage, by its number from 0."""
        return self.names[number] if self.names else str(number + 1)

    def hide(self, text: str) -> str:
        """A text without anything that looks like an identifier."""
        return self.bracketed.sub(r"(\1)", text)


NUMBERS = Identifiers("", re.compile(r"\[(\d+)\]"))
LETTERS = Identifiers("ABCDEFGHIJKLMNOPQRSTUVWXYZ", re.compile(r"\[([A-Za-z]+)\]"))


class WindowSettings(PromptSettings):
    """passage: how each of {passages} is written; {i} is its identifier. title: what stands before a document that has
    one. The other keys: see above."""

    passage: str = "[{i}] {passage}"
    separator: str = "\n"
    title: str = "Title: {title} Content: "
    max_query_tokens: int | None = Field(default=None, ge=1)
    max_passage_words: int | None = Field(default=None, ge=1)
    max_passage_tokens: int | None = Field(default=None, ge=1)
    max_passage_characters: int | None = Field(default=None, ge=1)
    fix_text: bool = True

    @model_validator(mode="before")
    @classmethod
    def _take_one_limit(cls, section: Any) -> Any:
        """A limit that the config gives stands in place of the family's own."""
        given = [name for name in LIMITS if isinstance(section, dict) and section.get(name) is not None]
        if len(given) > 1:
            raise ValueError(f"reranker.{given[0]} and reranker.{given[1]}: one of the two says where a passage is cut")
        return dict.fromkeys(LIMITS) | section if given else section

    @model_validator(mode="after")
    def _check_passages(self) -> "WindowSettings":
        if self.passages is not None:
            raise ValueError(f"reranker.passages: is for rerankers of pairs; here reranker.{LIMITS[0]} cuts documents")
        return self

    @model_validator(mode="after")
    def _check_places(self) -> "WindowSettings":
        if "{passage}" not in self.passage:
            raise ValueError(f"reranker.passage = {self.passage!r}: must contain {{passage}}")
        if self.title and "{title}" not in self.title:
            raise ValueError(
                f"reranker.title = {self.title!r}: must contain {{title}}, or be empty to leave titles out"
            )
        for place in ("{doc}", "{title}", "{instruction}"):
            if place in self.text + self.passage:
                raise ValueError(f"{self.given}: has no place for {place}, and the model would read these letters")
        if not self.has_text:
            return self
        if "{query}" not in self.text:
            raise ValueError(f"{self.given}: must contain {{query}}")
        if self.prompt is not None and "{passage}" in self.prompt:
            raise ValueError("reranker.prompt: {passage} is for messages, which are repeated; write {passages}")
        if (times := self.text.count("{passages}") + self.text.count("{passage}")) != 1:
            raise ValueError(f"{self.given}: must contain {{passages}} once, or {{passage}}, and not {times} times")
        if not self.in_turns and "{i}" in self.text:
            raise ValueError(f"{self.given}: {{i}} goes with {{passage}}; reranker.passage has that of {{passages}}")
        self.refuse_unused(self.in_turns, "messages with {passage} say how each is written", "passage", "separator")
        return self

    def refuse_unused(self, unused: bool, why: str, *names: str) -> None:
        """Raises ValueError where a key has another value than its default, and nothing reads it."""
        for name in names:
            if unused and (value := getattr(self, name)) != type(self).model_fields[name].default:
                raise ValueError(f"reranker.{name} = {value!r}: is not read: {why}")

    @property
    def asked(self) -> tuple[Message, ...]:
        """The messages; a family may have some by default."""
        return self.messages or ()

    @property
    def is_chat(self) -> bool:
        return self.prompt is None  # for the family has messages by default

    @property
    def in_turns(self) -> bool:
        """Whether each passage has messages of its own."""
        return self.prompt is None and not any("{passages}" in message.content for message in self.asked)


def shorten(tokenizer: Tokenizer, settings: WindowSettings, pairs: list[Pair], identifiers: Identifiers) -> list[Pair]:
    """The pairs with their documents as passages, and their queries as they stand in prompts (WholeQuery.shorten)."""
    return [_shorten(tokenizer, settings, pair, identifiers) for pair in pairs]


def _shorten(tokenizer: Tokenizer, settings: WindowSettings, pair: Pair, identifiers: Identifiers) -> Pair:
    title, text = pair.doc[: pair.title_end].rstrip(), pair.doc[pair.title_end :]
    whole = (settings.title.replace("{title}", title) if title else "") + text
    if settings.fix_text:
        whole = " ".join(ftfy.fix_text(whole.strip()).split())
    query = pair.query
    if settings.max_query_tokens:
        query = tokenizer.cut(query, settings.max_query_tokens)
    cut = _cut(tokenizer, settings, whole)
    truncated = pair.truncated or len(cut) < len(whole) or len(query) < len(pair.query)
    return pair._replace(query=identifiers.hide(query), doc=identifiers.hide(cut), title_end=0, truncated=truncated)


def _cut(tokenizer: Tokenizer, settings: WindowSettings, text: str) -> str:
    """The text up to its limit, as it stands before it."""
    if most := settings.max_passage_words:
        ends = [found.end() for found in re.finditer(r"\S+", text)]
        return text[: ends[most - 1]] if len(ends) > most else text
    if settings.max_passage_tokens:
        return tokenizer.cut(text, settings.max_passage_tokens)
    return text[: settings.max_passage_characters]


def make_window(
    tokenizer: Tokenizer,
    settings: WindowSettings,
    docs: Sequence[Pair],
    room: int,
    identifiers: Identifiers,
    answer: str = "",
) -> Prompt | Unscored:
    """The prompt of a window, of at most `room` tokens; `truncated` says that its passages were shortened for that.

    docs: the candidates, as `shorten` gives them. answer: how the model's answer begins.
    """
    template = _make_template(tokenizer, settings, len(docs), identifiers, answer)

    def fill(texts: list[str]) -> list[int]:
        if not settings.in_turns:
            names = map(identifiers.name, range(len(texts)))
            written = [
                settings.passage.replace("{i}", name).replace("{passage}", text)
                for name, text in zip(names, texts, strict=True)
            ]
            texts = [settings.separator.join(written)]
        return fill_window(tokenizer, template, docs[0].query, texts)

    texts = [pair.doc for pair in docs]
    ids, shortened = fill(texts), False
    sizes = np.array([len(found) for found in tokenizer.encode(texts)]) if len(ids) > room else np.zeros(0, int)
    while (over := len(ids) - room) > 0:
        if (cap := _find_cap(sizes, over)) < 1:
            return Unscored(f"a window does not fit: {len(ids)} tokens, room for {room}")
        texts = [tokenizer.cut(text, cap) if size > cap else text for text, size in zip(texts, sizes, strict=True)]
        sizes = np.minimum(sizes, cap)
        ids, shortened = fill(texts), True
    return Prompt([ids], shortened)


def ask_window(
    tokenizer: Tokenizer,
    settings: WindowSettings,
    docs: Sequence[Pair],
    max_tokens: int,
    identifiers: Identifiers,
    answer: str = "",
) -> Generator[FollowUp, list[Reply | Unscored], tuple[Prompt | Unscored, Reply | Unscored]]:
    """Asks about a window, as a part of a conversation: its prompt, and the reply, or the reason why there is none.

    max_tokens: the most of the reply, which shares the context with the prompt. The others: see make_window.
    """
    prompt = make_window(tokenizer, settings, docs, tokenizer.limit - max_tokens, identifiers, answer)
    if isinstance(prompt, Unscored):
        return prompt, prompt
    (reply,) = yield FollowUp(prompt.sequences, max_tokens)
    return prompt, reply


def make_query_reranker(
    settings: type[WindowSettings],
    request: Callable[[Any], Request],
    rank: Callable[[Tokenizer, Any, list[Pair]], Conversation],
    identifiers: Callable[[Any], Identifiers],
    answer: Callable[[Any], str] = lambda settings: "",
    version: int = 1,
) -> Reranker:
    """A reranker that is shown windows of a query's candidates: see Reranker, WholeQuery and make_window."""

    def prompt(tokenizer: Tokenizer, settings: Any, pairs: list[Pair]) -> list[Prompt | Unscored]:
        if tokenizer.has_encoder:
            raise ValueError("it has an encoder and a decoder, whose answers begin in a way that this family lacks")
        room, how = tokenizer.limit - request(settings).max_tokens, (identifiers(settings), answer(settings))
        _make_template(tokenizer, settings, 2, *how)  # chat templates may take one turn, and not several
        made = [
            (pair, make_window(tokenizer, settings, [pair], room, *how)) for pair in short(tokenizer, settings, pairs)
        ]
        return [
            prompt._replace(truncated=prompt.truncated or pair.truncated) if isinstance(prompt, Prompt) else prompt
            for pair, prompt in made
        ]

    def short(tokenizer: Tokenizer, settings: Any, pairs: list[Pair]) -> list[Pair]:
        return shorten(tokenizer, settings, pairs, identifiers(settings))

    def score(tokenizer: Tokenizer, settings: Any, replies: list[Reply]) -> Unscored:
        raise NotImplementedError("a reranker of whole queries scores no pair by itself")

    return Reranker(
        settings=settings,
        request=request,
        prefix_side=lambda settings: "query",
        unit_rows=UNIT,
        prompt=prompt,
        score=score,
        version=version,
        whole_query=WholeQuery(short, rank),
    )


def _find_cap(sizes: np.ndarray, over: int) -> int:
    """The most tokens that passages may keep for all together to lose `over`; 0 where they have not as many."""
    caps = np.arange(sizes.max(initial=0))
    lost = np.maximum(sizes[:, None] - caps, 0).sum(axis=0)
    return int(np.flatnonzero(lost >= over).max(initial=0))


def _make_template(
    tokenizer: Tokenizer, settings: WindowSettings, count: int, identifiers: Identifiers, answer: str
) -> Template:
    """The template of a window with this number of passages. It has a place for all of them, or one for each."""

    def put(text: str, number: int = 0) -> str:
        text = text.replace("{query}", QUERY).replace("{num}", str(count)).replace("{i}", identifiers.name(number))
        return text.replace("{passages}", DOC).replace("{passage}", DOC)

    if settings.prompt is not None:
        before, after = tokenizer.ids_around
        return [*before, *split_template(tokenizer, put(settings.prompt) + answer), *after]
    messages = settings.asked
    own = [at for at, message in enumerate(messages) if {"{i}", "{passage}"} & {*_find_places(message.content)}]
    first, stop = (own[0], own[-1] + 1) if own else (0, 0)
    turns = [(message, 0) for message in messages[:first]]
    turns += [(message, number) for number in range(count) for message in messages[first:stop]]
    turns += [(message, 0) for message in messages[stop:]]
    chat = [{"role": message.role, "content": put(message.content, number)} for message, number in turns]
    return render_chat(tokenizer, chat, settings.chat_template_kwargs, answer)


def _find_places(text: str) -> list[str]:
    return re.findall(r"\{\w+\}", text)
