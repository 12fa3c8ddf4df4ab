"""Long documents as passages: each is scored as a pair of its own, and the pair's score is made of theirs.

A passage has at most `tokens` tokens of the document, and ends where a sentence does, if one ends in its second half.
The next one begins `overlap` tokens before its end. The title stands before each. A document of no more tokens is one
passage, and has the score that it has without passages.
"""

import math
import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from typing import Any

from actors.rerankers.contract import Pair, Prompt, Reranker, Unscored
from actors.rerankers.settings import Passages
from actors.rerankers.tokenizer import Tokenizer

# A mark with quotes and brackets behind it and a blank; a full-width mark; a line break.
SENTENCE_END = re.compile("[.!?\u2026][\"')\\]\u00bb\u201d\u2019]*\\s+$|[\u3002\uff01\uff1f]\\s*$|\\n\\s*$")
LOOKED_AT = 16  # characters before a place, which show whether a sentence ends there
SCORES: dict[str, Callable[[Sequence[float]], float]] = {
    "max": max,
    "first": lambda scores: scores[0],
    "mean": lambda scores: sum(scores) / len(scores),
    "top3": lambda scores: sum(sorted(scores)[-3:]) / min(3, len(scores)),  # the mean of the best three
}


def make_prompts(
    reranker: Reranker, tokenizer: Tokenizer, settings: Any, pairs: Sequence[Pair]
) -> list[list[Prompt] | Unscored]:
    """The prompts of each pair, one for each of its passages; or the reason why one of them has none."""
    cut = [cut_pair(tokenizer, pair, settings.passages) for pair in pairs]
    made = reranker.prompt(tokenizer, settings, [passage for passages in cut for passage in passages])
    owners = (i for i, passages in enumerate(cut) for _ in passages)
    prompts: list[list[Prompt]] = [[] for _ in pairs]
    refused: dict[int, Unscored] = {}
    for owner, prompt in zip(owners, made, strict=True):
        if isinstance(prompt, Unscored):
            refused.setdefault(owner, prompt)
        else:
            prompts[owner].append(prompt)
    return [refused.get(i, mine) for i, mine in enumerate(prompts)]


def cut_pair(tokenizer: Tokenizer, pair: Pair, passages: Passages | None) -> list[Pair]:
    """A pair for each passage of its document; the pair itself without passages."""
    if passages is None:
        return [pair]
    title, doc = pair.doc[: pair.title_end], pair.doc[pair.title_end :]
    return [pair._replace(doc=title + passage) for passage in cut_passages(tokenizer, doc, passages)]


def cut_passages(tokenizer: Tokenizer, doc: str, passages: Passages) -> list[str]:
    """The passages of a document, in their order. Each character is in one at least, and whole."""
    starts = tokenizer.find_starts(doc)
    first, cut = 0, []
    while len(starts) - first > passages.tokens:
        stop = _find_character(starts, _find_stop(doc, starts, first, passages.tokens))
        if stop <= first:  # a character of more tokens than a passage has
            stop = bisect_right(starts, starts[first])
            if stop == len(starts):
                break
        cut.append(doc[starts[first] if first else 0 : starts[stop]])
        again = _find_character(starts, stop - passages.overlap)
        first = again if again > first else stop
    return [*cut, doc[starts[first] if first else 0 :]]


def _find_character(starts: Sequence[int], token: int) -> int:
    """The first token of the character that a token belongs to."""
    return bisect_left(starts, starts[token], hi=token)


def _find_stop(doc: str, starts: Sequence[int], first: int, tokens: int) -> int:
    """The number of the token before which a passage from token `first` on ends."""
    for stop in range(first + tokens, first + tokens // 2, -1):
        place = starts[stop]
        while doc[place : place + 1].isspace():  # some tokenizers have the blank before a word in its token
            place += 1
        if SENTENCE_END.search(doc, max(0, place - LOOKED_AT), place):
            return stop
    return first + tokens


def join_passages(
    scores: Sequence[float | Unscored], texts: Sequence[str | None], counts: Sequence[int], passages: Passages
) -> tuple[list[float | Unscored], list[str | None]]:
    """The score of each pair, and which of its passages is the best, with what the model wrote for that one.

    scores, texts: of all passages. counts: how many of them each pair has. Where one of them has no score, the pair has
    none, for that reason.
    """
    joined: list[float | Unscored] = []
    written: list[str | None] = []
    start = 0
    for count in counts:
        mine = scores[start : start + count]
        refused = [score for score in mine if isinstance(score, Unscored)]
        known = [score for score in mine if not isinstance(score, Unscored)]
        joined.append(refused[0] if refused else float(SCORES[passages.score](known)))
        best = max(range(count), key=lambda at: -math.inf if isinstance(mine[at], Unscored) else mine[at])
        text = texts[start + best]
        written.append(f"passage {best + 1} of {count}" + (f"\n{text}" if text else ""))
        start += count
    return joined, written
