"""Cases in which the new tree does something else than the old one, and is meant to."""

import re
from collections.abc import Iterable
from typing import NamedTuple

from .verdict import Difference


class Expected(NamedTuple):
    """A difference that is meant. case: a pattern for `kind / name`. place: one for where the answers differ. what: in
    words. new: a pattern for what the new tree has there."""

    case: str
    place: str
    what: str
    new: str = ""


EXPECTED = [
    Expected(r"^resume / a new file$", r"^\[1[01]\]", "a new file is taken; it was refused"),
    Expected(
        r"^resume / (rows that (may|never) pass|rows that pass|a row that kills|rows that go on killing)",
        r"layout|tables\..*UNIT|units_now|prompt_tokens",
        "a unit that is scored again is one of the rows that failed, and not a second round of the whole unit",
    ),
    Expected(
        r"^resume / rows that never pass",
        r"",
        "rows that may pass are scored again as often as it is asked for, not thrice",
    ),
    Expected(
        r"^runs / \d+$",
        r"^\[3\]\.(success|sealed)$",
        "where too many rows of the next result failed, the one before stands again",
        r"^True$",
    ),
    Expected(
        r"^minilm / no classifier$",
        r"^\[0\]\.(code|stderr)$",
        "a model without a classifier's head is refused before an engine starts",
        r"^2$|its modules\.json is a stack of Transformer, Pooling, Normalize, whose head vLLM does not run",
    ),
    Expected(
        r"^minilm / no classifier$",
        r"^\[1\]\.(layout|tables\.(1 )?scores/PRINT/UNIT\.parquet)$",
        "and so no scores are left",
        r"^'\(nothing\)'$|^\[\]$",
    ),
    Expected(
        r"^jobs / dry runs",
        r"stdout",
        "what is scored already is told in pairs, and no units are drafted",
    ),
    Expected(
        r"^jobs / status of half a run",
        r"stdout",
        "without a result and a run that is alive, nothing says how many rows there are",
    ),
]


def select_meant(case: str, found: Iterable[Difference]) -> tuple[list[Difference], set[str]]:
    """The differences that are not meant, and the words of those that are."""
    others, meant = [], set()
    for difference in found:
        words = [
            expected.what
            for expected in EXPECTED
            if re.search(expected.case, case)
            and re.search(expected.place, difference.place)
            and re.search(expected.new, repr(difference.new))
        ]
        meant.update(words[:1])
        if not words:
            others.append(difference)
    return others, meant
