"""Prompts that are written as one text, chat templates among them, as pieces for `fill_template`.

They are split before the texts are in. So each is tried on texts with awkward ends: what comes of the pieces must be
what the tokenizer, and the chat template, make of the whole text. Where it is not, the prompt is refused.
"""

import difflib
import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import date
from itertools import product
from typing import Any

from actors.rerankers.contract import Pair
from actors.rerankers.templates import PLACEHOLDER, Inside, Template, encode_piece, fill_text
from actors.rerankers.tokenizer import DOC, INSTRUCTION, QUERY, TRIM_END, TRIM_START, Tokenizer

STAND_INS = Pair(QUERY, DOC, INSTRUCTION)
AWKWARD = [Pair(text, text, text) for text in ("x", "\r\n \tx\n\n\nx\u3000\t \r\n", " x <b>&'\" {{ x }}\n")]
THOUGHT = Pair("x </think> x", "x </think> x", "x </think> x")  # some chat templates cut what stands before the mark
LONG = Pair("x" * 100_000, "x" * 100_000, "x" * 100_000)  # for templates that cut a text
FIXED_DAY = date(2025, 1, 1)  # today's date in chat templates, so that a run over midnight has one prompt
Messages = list[dict[str, str]]


def split_template(tokenizer: Tokenizer, template: str) -> Template:
    """A template as ids of its special tokens and the texts between them, with their placeholders.

    Raises ValueError if the pieces, encoded separately, are not the ids of the template encoded as a whole.
    """
    pieces = _split(tokenizer, template)
    for pair in (STAND_INS, *AWKWARD):
        ids = [i for piece in pieces for i in encode_piece(tokenizer, piece, [pair])[0][0]]
        if ids != tokenizer.encode_marked(fill_text(template, pair)):
            raise ValueError(f"its tokenizer cannot take this template in pieces: {_show(template)!r}")
    return pieces


def _split(tokenizer: Tokenizer, template: str) -> Template:
    """Texts beside a token that swallows white space lose theirs, too."""
    parts = tokenizer.split_marked(template)
    pieces: Template = []
    for i, part in enumerate(parts):
        if not isinstance(part, str):
            pieces.append(part.id)
        elif part:
            before, after = parts[i - 1] if i else None, parts[i + 1] if i + 1 < len(parts) else None
            start = TRIM_START if before and before.rstrip and PLACEHOLDER.match(part) else ""
            end = TRIM_END if after and after.lstrip and PLACEHOLDER.match(part[-1]) else ""
            pieces.append((Inside if before else str)(start + part + end))
    return pieces


def render_chat(tokenizer: Tokenizer, messages: Messages, kwargs: Mapping[str, Any] = {}, answer: str = "") -> Template:
    """Messages in the model's chat template, with the assistant's turn begun, split by `split_template`.

    kwargs: what the template is given besides. answer: how the model's answer begins. Raises ValueError where there is
    no chat template, it fails or refuses the messages, does not use one of kwargs, or changes the messages' texts in
    any way but to trim them.
    """
    key = json.dumps([messages, kwargs, answer], default=str)
    if key not in tokenizer.chats:
        _check_used(_find_chat_template(tokenizer), kwargs)
        tokenizer.chats[key] = split_template(tokenizer, _render_trimmed(tokenizer, messages, kwargs) + answer)
    return [*tokenizer.chats[key]]


def check_texts(tokenizer: Tokenizer, pairs: list[Pair]) -> None:
    """Raises ValueError where the chat template makes other texts of pairs than the pieces that were made of it."""
    for messages, kwargs, _ in map(json.loads, tokenizer.chats):
        _render_trimmed(tokenizer, messages, kwargs, pairs)


def find_unwritten_turn(tokenizer: Tokenizer) -> str | None:
    """The end of the prompt where the chat template leaves the start of the assistant's turn out; None if it does not.

    What such a start is shows where the template writes an answer.
    """
    for messages, kwargs, _ in map(json.loads, tokenizer.chats):
        answered = [*messages, {"role": "assistant", "content": STAND_INS.doc * 3}]
        with suppress(ValueError):  # of a template that takes no such messages
            asked = _render(tokenizer, messages, kwargs).rstrip()
            before = _render(tokenizer, answered, kwargs).partition(STAND_INS.doc * 3)[0].rstrip()
            ignored = asked == _render(tokenizer, messages, kwargs | {"add_generation_prompt": False}).rstrip()
            if ignored and before != asked and before.startswith(asked):
                return asked[-20:]
    return None


def find_idle_kwargs(tokenizer: Tokenizer) -> list[str]:
    """Which of chat_template_kwargs change nothing of the prompt."""
    return [
        name
        for messages, kwargs, _ in map(json.loads, tokenizer.chats)
        for name in kwargs
        if _render(tokenizer, messages, kwargs)
        == _render(tokenizer, messages, {other: kwargs[other] for other in kwargs if other != name})
    ]


def _find_chat_template(tokenizer: Tokenizer) -> str:
    found = tokenizer.pretrained.chat_template
    if not found:
        raise ValueError("it has no chat template, which this reranker needs")
    if isinstance(found, dict) and "default" not in found:
        names = ", ".join(map(repr, found))
        raise ValueError(f"none of its chat templates ({names}) is named 'default'; name the one to use so")
    return str(found["default"] if isinstance(found, dict) else found)


def _check_used(chat_template: str, kwargs: Mapping[str, Any]) -> None:
    """Raises ValueError for a name that is no variable which the template reads: Jinja would pass it over."""
    if not kwargs:
        return
    from jinja2 import Environment, TemplateError, meta

    with suppress(TemplateError):  # a mistake is said when it is rendered; {% generation %} is none
        parsed = Environment(extensions=["jinja2.ext.loopcontrols"]).parse(chat_template)
        names = meta.find_undeclared_variables(parsed)
        for name in (name for name in kwargs if name not in names):
            close = difflib.get_close_matches(name, names, n=1)
            meant = f"; is {close[0]} meant?" if close else ""
            raise ValueError(f"its chat template makes no use of reranker.chat_template_kwargs.{name}{meant}")


def _render_trimmed(
    tokenizer: Tokenizer, messages: Messages, kwargs: Mapping[str, Any], more: Iterable[Pair] = ()
) -> str:
    """The rendered messages, with marks where the template trims what stands beside them. more: pairs that it is tried
    on besides."""
    tried = [*AWKWARD, THOUGHT, LONG, *more]
    filled = [_change(messages, [fill_text(message["content"], pair) for message in messages]) for pair in tried]
    real = [_render(tokenizer, each, kwargs) for each in filled]
    alike = [(message["role"], *_find_open_sides(message["content"])) for message in messages]  # and so trimmed alike
    kinds = list(dict.fromkeys(alike))
    for chosen in product(*(_possible_trims(starts, ends) for _, starts, ends in kinds)):
        sides = [chosen[kinds.index(kind)] for kind in alike]
        marked = [f"{start}{message['content']}{end}" for message, (start, end) in zip(messages, sides, strict=True)]
        rendered = _render(tokenizer, _change(messages, marked), kwargs)
        if [fill_text(rendered, pair) for pair in tried] == real:
            for message in messages:
                if message["content"].strip() not in rendered:
                    raise ValueError(f"its chat template leaves out the {message['role']} message, or changes it")
            return rendered
    raise ValueError(
        "its chat template does more to the messages' texts than trim them, so it cannot be filled with texts later; "
        "have it write them as they are"
    )


def _find_open_sides(content: str) -> tuple[bool, bool]:
    """Whether a text is at the start of a message, and at its end: trimming only matters there."""
    bare = content.strip()
    return bool(PLACEHOLDER.match(bare)), bool(bare and PLACEHOLDER.match(bare[-1]))


def _possible_trims(starts: bool, ends: bool) -> Iterable[tuple[str, str]]:
    """The marks that may stand around a message with texts at these ends."""
    return product(("", TRIM_START)[: 1 + starts], ("", TRIM_END)[: 1 + ends])


def _change(messages: Messages, contents: Iterable[str]) -> Messages:
    return [message | {"content": content} for message, content in zip(messages, contents, strict=True)]


def _render(tokenizer: Tokenizer, messages: Messages, kwargs: Mapping[str, Any]) -> str:
    given = {"add_generation_prompt": True, "strftime_now": FIXED_DAY.strftime, **kwargs}
    try:
        return str(tokenizer.pretrained.apply_chat_template(messages, tokenize=False, **given))
    except Exception as error:  # a template is a program: it may raise anything
        said = " ".join(str(error).split())[:300]
        raise ValueError(f"its chat template does not take the messages: {said}") from None


def _show(template: str) -> str:
    """The template as its author wrote it."""
    names: dict[str, str | int | None] = {
        QUERY: "{query}",
        DOC: "{doc}",
        INSTRUCTION: "{instruction}",
        TRIM_START: "",
        TRIM_END: "",
    }
    return template.translate(str.maketrans(names))
