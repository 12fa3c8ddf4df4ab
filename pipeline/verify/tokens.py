"""Whether prompts are what tokenizer.json makes of their own text, and whether AutoTokenizer makes the same of it."""

from dataclasses import dataclass

import tokenizers

from actors.rerankers import Settings
from actors.rerankers.files import find_optional_file
from actors.rerankers.tokenizer import Tokenizer
from pipeline.check.prompt import compare_sample, load_auto, name_auto
from pipeline.errors import one_line

SHOWN = 6  # tokens of a difference


@dataclass(frozen=True)
class TokenIds:
    """sequences: of all prompts. own: those that tokenizer.json, by the tokenizers library alone, makes of their own
    text. auto: those of whose text AutoTokenizer makes the same as it; None where AutoTokenizer cannot be used.
    lines: the first differences, as texts.
    """

    sequences: int
    own: int
    auto: int | None
    lines: list[str]


def compare_tokens(tokenizer: Tokenizer, settings: Settings, sequences: list[list[int]]) -> TokenIds:
    """Compares the ids of whole prompts. It imports torch.

    A sequence is decoded and encoded again. That gives other ids for a text that spells a special token, or has
    characters that the tokenizer does not keep, so a difference from tokenizer.json is reported and is no fault.
    """
    path = find_optional_file(settings, "tokenizer.json")
    if path is None:
        return TokenIds(len(sequences), 0, None, ["there is no tokenizer.json, so token ids were not compared"])
    file = tokenizers.Tokenizer.from_file(str(path))
    file.no_truncation()
    file.no_padding()
    texts = [file.decode(ids, skip_special_tokens=False) for ids in sequences]
    again = [encoded.ids for encoded in file.encode_batch(texts, add_special_tokens=False)]
    pairs = zip(sequences, again, strict=True)
    lines = []
    if unlike := next(((ids, own) for ids, own in pairs if ids != own), None):
        lines.append(f"the first prompt that is not what tokenizer.json makes of its own text: {_show(file, *unlike)}")
    try:
        auto = load_auto(settings)
        sample = compare_sample(tokenizer, auto)
        theirs = [auto.encode(text, add_special_tokens=False) for text in texts]
    except Exception as error:  # of any kind, where its class and the files do not go together
        return TokenIds(len(texts), _count(sequences, again), None, [*lines, f"AutoTokenizer: {one_line(error)[:200]}"])
    if other := next((both for both in zip(again, theirs, strict=True) if both[0] != both[1]), None):
        lines.append(f"{name_auto(auto)} makes other ids of a prompt's text than tokenizer.json: {_show(file, *other)}")
    elif sample:
        lines.append(sample)
    return TokenIds(len(texts), _count(sequences, again), _count(again, theirs), lines)


def _count(one: list[list[int]], other: list[list[int]]) -> int:
    return sum(a == b for a, b in zip(one, other, strict=True))


def _show(file: tokenizers.Tokenizer, ids: list[int], others: list[int]) -> str:
    """Where two sequences part, as pieces of the vocabulary."""
    at = next((i for i, (a, b) in enumerate(zip(ids, others, strict=False)) if a != b), min(len(ids), len(others)))
    first, second = ([file.id_to_token(i) for i in part[at : at + SHOWN]] for part in (ids, others))
    return f"at token {at} it has {first}, and the other {second}"
