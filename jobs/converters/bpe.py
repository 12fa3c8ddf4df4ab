"""Merges for tokenizers' BPE, from vocabularies that only say which token is preferred to which."""

from typing import TypeVar

Token = TypeVar("Token", str, bytes)


def find_merges(preferred: list[Token], known: set[Token]) -> list[tuple[Token, Token]]:
    """Merges with which BPE joins any two neighbours whose join is a token, the most preferred join first.

    tiktoken (by rank) and SentencePiece (by score) join by this rule. tokenizers' BPE joins listed pairs, so each
    way to cut a token of `preferred` into two of `known` is listed, in the order of the tokens.
    """
    return [
        (token[:cut], token[cut:])
        for token in preferred
        for cut in range(1, len(token))
        if token[:cut] in known and token[cut:] in known
    ]
