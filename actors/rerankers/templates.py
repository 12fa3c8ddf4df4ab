"""Prompts: a template around the texts of a pair, as token ids.

A template is a list of pieces: ids of its own special tokens, and texts in which QUERY, DOC and INSTRUCTION stand for
those of the pair. Each text piece is tokenised as one text, so that merges across the seams inside it are those of
the reference; pieces that a reference tokenises apart stand side by side.
"""

import re
from typing import NamedTuple

from actors.rerankers.contract import Pair, Prompt, Unscored
from actors.rerankers.tokenizer import DOC, INSTRUCTION, QUERY, Tokenizer


class Capped(NamedTuple):
    """A text piece whose ids are cut at its end, as some references do: to `max_tokens`, and further to fit."""

    text: str
    max_tokens: int


Template = list[int | str | Capped]
STAND_INS = re.compile(f"([{QUERY}{DOC}{INSTRUCTION}])")


def shortened(
    tokenizer: Tokenizer, pairs: list[Pair], max_query_tokens: int | None, max_doc_tokens: int | None
) -> list[Pair]:
    """The pairs with texts that are longer than their own limit cut to it."""
    short = []
    for pair in pairs:
        query, doc = _cut(tokenizer, pair.query, max_query_tokens), _cut(tokenizer, pair.doc, max_doc_tokens)
        cut = pair.truncated or query != pair.query or doc != pair.doc
        short.append(pair._replace(query=query, doc=doc, truncated=cut))
    return short


def _cut(tokenizer: Tokenizer, text: str, max_tokens: int | None) -> str:
    # Most short texts need not be tokenised: of ASCII, a token covers at least one character (others may be normalised
    # into several), and a prefix that the tokenizer puts before a text is one token more.
    if max_tokens is None or (text.isascii() and len(text) < max_tokens):
        return text
    return tokenizer.cut(text, max_tokens)


def filled(tokenizer: Tokenizer, template: Template, pairs: list[Pair], room: int) -> list[Prompt | Unscored]:
    """One prompt a pair, of at most `room` tokens.

    Only the document is cut to fit; a pair whose prompt does not fit even with an empty one is Unscored.
    """
    for stand_in, text in ((QUERY, "query"), (DOC, "document")):
        if not any(stand_in in _text(piece) for piece in template):
            raise ValueError(f"the prompt has no place for the {text}")
    instructed = any(INSTRUCTION in _text(piece) for piece in template)
    pieces = [_encoded(tokenizer, piece, pairs) for piece in template]
    prompts: list[Prompt | Unscored] = []
    for i, pair in enumerate(pairs):
        parts = [piece[i][0] for piece in pieces]
        if instructed and pair.instruction is None:
            prompts.append(Unscored("no instruction in the input or the config, and the prompt has one"))
        elif sum(map(len, parts)) <= room:
            prompts.append(Prompt([_joined(parts)], pair.truncated or any(piece[i][1] for piece in pieces)))
        else:
            prompts.append(_fitted(tokenizer, template, pair, parts, room))
    return prompts


def room_to_write(tokenizer: Tokenizer, max_new_tokens: int, spare: int = 0) -> int:
    """The longest prompt of a model that writes: it leaves a quarter of `max_new_tokens`, and `spare` tokens more.

    Few answers come near max_new_tokens; a document is not cut for the sake of those that do.
    """
    return tokenizer.limit - spare - -(-max_new_tokens // 4)


def _encoded(tokenizer: Tokenizer, piece: int | str | Capped, pairs: list[Pair]) -> list[tuple[list[int], bool]]:
    """The ids of a piece for each pair, and whether they were cut."""
    if isinstance(piece, int):
        return [([piece], False)] * len(pairs)
    text, most = piece if isinstance(piece, Capped) else (piece, None)
    fixed = STAND_INS.split(text)
    ids = tokenizer.encode([_put(fixed, pair) for pair in pairs])
    return [(part[:most], most is not None and len(part) > most) for part in ids]


def _put(parts: list[str], pair: Pair) -> str:
    """Fills a text in one pass, so that a query that contains a stand-in character stays as it is."""
    texts = {QUERY: pair.query, DOC: pair.doc, INSTRUCTION: pair.instruction or ""}
    return "".join(texts.get(part, part) for part in parts)


def _joined(parts: list[list[int]]) -> list[int]:
    return [i for part in parts for i in part]


def _fitted(
    tokenizer: Tokenizer, template: Template, pair: Pair, parts: list[list[int]], room: int
) -> Prompt | Unscored:
    bare = [_encoded(tokenizer, piece, [pair._replace(doc="")])[0][0] for piece in template]
    if (least := sum(map(len, bare))) > room:
        return Unscored(f"prompt does not fit: {least} tokens without the document, room for {room}")
    at = next(i for i, piece in enumerate(template) if not isinstance(piece, int) and DOC in _text(piece))
    if isinstance(template[at], Capped) and _text(template[at]).endswith(DOC):
        keep = len(parts[at]) - (sum(map(len, parts)) - room)
        if keep >= len(bare[at]):
            return Prompt([_joined([*parts[:at], parts[at][:keep], *parts[at + 1 :]])], truncated=True)
    keep, doc = len(tokenizer.encode([pair.doc])[0]), pair.doc
    while (size := sum(map(len, parts))) > room and keep > 0:
        keep = max(0, keep - (size - room))
        doc = tokenizer.cut(doc, keep)
        parts = [_encoded(tokenizer, piece, [pair._replace(doc=doc)])[0][0] for piece in template]
    return Prompt([_joined(parts)], truncated=True)


def _text(piece: int | str | Capped) -> str:
    return piece.text if isinstance(piece, Capped) else str(piece)
