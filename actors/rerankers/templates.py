"""Prompts: templates filled with the texts of pairs, as token ids.

A template is a list of pieces: ids of special tokens, and texts with the placeholders QUERY, DOC and INSTRUCTION. Each
text piece is filled first and tokenised as a whole, so tokens merge across the borders of the texts inside it as they
do in the reference. Parts that a reference tokenises separately are separate pieces. split.py makes a template of a
prompt that is one text.
"""

import re
from collections.abc import Callable
from typing import NamedTuple

from actors.rerankers.contract import Pair, Prompt, Unscored
from actors.rerankers.tokenizer import DOC, INSTRUCTION, QUERY, TRIM_END, TRIM_START, Tokenizer


class Capped(NamedTuple):
    """A text piece whose ids are cut at the end, as some references do: to `max_tokens`, or shorter if it must fit."""

    text: str
    max_tokens: int


class Inside(str):
    """A text piece that stands behind a special token of the same text; others are the first of a text."""


Template = list[int | str | Capped]
PLACEHOLDER = re.compile(f"[{QUERY}{DOC}{INSTRUCTION}]")
_STAND_IN = re.compile(f"([{QUERY}{DOC}{INSTRUCTION}{TRIM_START}{TRIM_END}])")


def shorten_pairs(
    tokenizer: Tokenizer, pairs: list[Pair], max_query_tokens: int | None, max_doc_tokens: int | None
) -> list[Pair]:
    """The pairs with each text cut to its limit in tokens; `truncated` is set if one was cut."""
    short = []
    for pair in pairs:
        query = _cut_text(tokenizer, pair.query, max_query_tokens)
        doc = _cut_text(tokenizer, pair.doc, max_doc_tokens)
        cut = pair.truncated or query != pair.query or doc != pair.doc
        short.append(pair._replace(query=query, doc=doc, truncated=cut))
    return short


def _cut_text(tokenizer: Tokenizer, text: str, max_tokens: int | None) -> str:
    # Short ASCII texts need no tokenising: each token covers at least one of their characters, and a prefix that the
    # tokenizer puts before the text is at most one token more. (Other characters may be normalised to several.)
    if max_tokens is None or (text.isascii() and len(text) < max_tokens):
        return text
    return tokenizer.cut(text, max_tokens)


def fill_template(
    tokenizer: Tokenizer, template: Template, pairs: list[Pair], room: int, needed: str = QUERY + DOC
) -> list[Prompt | Unscored]:
    """One prompt a pair, of at most `room` tokens.

    Only the document is cut to fit. A pair whose prompt does not fit even without its document is Unscored, as is one
    without an instruction if the template has a place for it. Raises ValueError if the template lacks a placeholder
    that is needed.
    """
    for placeholder, text in ((QUERY, "query"), (DOC, "document")):
        if placeholder in needed and not any(placeholder in _text_of(piece) for piece in template):
            raise ValueError(f"the prompt has no place for the {text}")
    instructed = any(INSTRUCTION in _text_of(piece) for piece in template)
    pieces = [encode_piece(tokenizer, piece, pairs) for piece in template]
    prompts: list[Prompt | Unscored] = []
    for i, pair in enumerate(pairs):
        parts = [piece[i][0] for piece in pieces]
        if instructed and pair.instruction is None:
            prompts.append(Unscored("no instruction in the input or the config, and the prompt has one"))
        elif sum(map(len, parts)) <= room:
            prompts.append(Prompt([_join(parts)], pair.truncated or any(piece[i][1] for piece in pieces)))
        else:
            prompts.append(_cut_to_fit(tokenizer, template, pair, parts, room))
    return prompts


def room_to_write(tokenizer: Tokenizer, max_new_tokens: int, spare: int = 0) -> int:
    """The most tokens of a prompt for a model that writes: the limit, less `spare` and a quarter of `max_new_tokens`.

    A quarter is enough because few answers get near max_new_tokens, and documents should not be cut for those.
    """
    return tokenizer.limit - spare - -(-max_new_tokens // 4)


def encode_piece(tokenizer: Tokenizer, piece: int | str | Capped, pairs: list[Pair]) -> list[tuple[list[int], bool]]:
    """For each pair, the ids of the filled piece, and whether they were cut."""
    if isinstance(piece, int):
        return [([piece], False)] * len(pairs)
    text, most = piece if isinstance(piece, Capped) else (piece, None)
    parts = _STAND_IN.split(text)
    encoded = tokenizer.encode([_fill_parts(parts, _texts_of(pair)) for pair in pairs], isinstance(piece, Inside))
    return [(ids[:most], most is not None and len(ids) > most) for ids in encoded]


def fill_text(text: str, pair: Pair) -> str:
    """A text with the pair's texts for placeholders; a placeholder inside a query is left alone."""
    return _fill_parts(_STAND_IN.split(text), _texts_of(pair))


def fill_window(tokenizer: Tokenizer, template: Template, query: str, docs: list[str]) -> list[int]:
    """The ids of a template with several places for a document, which are filled in turn."""
    left = iter(docs)
    ids: list[int] = []
    for piece in template:
        if isinstance(piece, int):
            ids.append(piece)
            continue
        parts = _STAND_IN.split(_text_of(piece))
        filled = _fill_parts(parts, lambda part: query if part == QUERY else next(left) if part == DOC else part)
        ids += tokenizer.encode([filled], isinstance(piece, Inside))[0]
    return ids


def _texts_of(pair: Pair) -> Callable[[str], str]:
    """A function from a part of a template to its text: the pair's for a placeholder."""
    texts = {QUERY: pair.query, DOC: pair.doc, INSTRUCTION: pair.instruction or ""}
    return lambda part: texts.get(part, part)


def _fill_parts(parts: list[str], get: Callable[[str], str]) -> str:
    """Joins the parts of a text, as `fill_text`. get: what stands for each."""
    if TRIM_START not in parts and TRIM_END not in parts:
        return "".join(map(get, parts))
    pieces, marks = [""], []
    for part in parts:
        if part in (TRIM_START, TRIM_END):
            marks.append(part)
            pieces.append("")
        else:
            pieces[-1] += get(part)
    for i, mark in enumerate(marks):
        if mark == TRIM_END:
            pieces[i] = pieces[i].rstrip()
        else:
            pieces[i + 1] = pieces[i + 1].lstrip()
    return "".join(pieces)


def _join(parts: list[list[int]]) -> list[int]:
    return [i for part in parts for i in part]


def _cut_to_fit(
    tokenizer: Tokenizer, template: Template, pair: Pair, parts: list[list[int]], room: int
) -> Prompt | Unscored:
    """The prompt with its document cut, so that it has at most `room` tokens. parts: the ids of its pieces, uncut."""
    bare = [encode_piece(tokenizer, piece, [pair._replace(doc="")])[0][0] for piece in template]
    if (least := sum(map(len, bare))) > room:
        return Unscored(f"prompt does not fit: {least} tokens without the document, room for {room}")
    at = next(i for i, piece in enumerate(template) if not isinstance(piece, int) and DOC in _text_of(piece))
    if isinstance(template[at], Capped) and _text_of(template[at]).endswith(DOC):
        keep = len(parts[at]) - (sum(map(len, parts)) - room)
        if keep >= len(bare[at]):
            return Prompt([_join([*parts[:at], parts[at][:keep], *parts[at + 1 :]])], truncated=True)
    keep, doc = len(tokenizer.encode([pair.doc])[0]), pair.doc
    while (size := sum(map(len, parts))) > room and keep > 0:
        keep = max(0, keep - (size - room))
        doc = tokenizer.cut(doc, keep)
        parts = [encode_piece(tokenizer, piece, [pair._replace(doc=doc)])[0][0] for piece in template]
    return Prompt([_join(parts)], truncated=True)


def _text_of(piece: int | str | Capped) -> str:
    return piece.text if isinstance(piece, Capped) else str(piece)
