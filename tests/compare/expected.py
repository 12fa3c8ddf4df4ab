"""Cases in which the new tree does something else than the old one, and is meant to."""

import re
from collections.abc import Iterable
from typing import NamedTuple

from .verdict import Difference


class Expected(NamedTuple):
    """A difference that is meant. case: a pattern for `kind / name`. place: one for where the answers differ. what: in
    words."""

    case: str
    place: str
    what: str


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
            if re.search(expected.case, case) and re.search(expected.place, difference.place)
        ]
        meant.update(words[:1])
        if not words:
            others.append(difference)
    return others, meant
