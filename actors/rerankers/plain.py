"""Copies of a tokenizer to which every text is plain text."""

import json
import secrets
from typing import Any

import tokenizers


def make_plain(tokenizer: tokenizers.Tokenizer, control: set[int]) -> tokenizers.Tokenizer:
    """A copy in which the control tokens have the same ids, and names that no text spells."""
    description: dict[str, Any] = json.loads(tokenizer.to_str())
    names = {}
    for token in description["added_tokens"]:
        if token["id"] in control:
            names[token["content"]] = token["content"] = secrets.token_hex(16)
    _rename_pieces(description["model"], names)
    description["padding"] = description["truncation"] = None
    return tokenizers.Tokenizer.from_str(json.dumps(description))


def _rename_pieces(model: dict[str, Any], names: dict[str, str]) -> None:
    """Renames pieces of a vocabulary, which some models would find in any text that spells them."""
    if model["type"] == "Unigram":
        model["vocab"] = [[names.get(piece, piece), score] for piece, score in model["vocab"]]
    elif not names.keys().isdisjoint(model["vocab"]):
        model["vocab"] = {names.get(piece, piece): i for piece, i in model["vocab"].items()}
        model["unk_token"] = names.get(model["unk_token"], model["unk_token"])
        if "merges" in model:
            model["merges"] = [[a, b] for a, b in model["merges"] if not (a in names or b in names or a + b in names)]


def make_inside(plain: tokenizers.Tokenizer) -> tokenizers.Tokenizer:
    """The tokenizer for texts that are not the first of their prompt: it puts no space before them if the other puts
    one before the first text only (Metaspace's `first`)."""
    description: dict[str, Any] = json.loads(plain.to_str())
    split = json.dumps(description["pre_tokenizer"])
    if '"prepend_scheme": "first"' not in split:
        return plain
    description["pre_tokenizer"] = json.loads(split.replace('"prepend_scheme": "first"', '"prepend_scheme": "never"'))
    return tokenizers.Tokenizer.from_str(json.dumps(description))
