"""The names of files that are put once and later followed by another: the last one holds.

plan.parquet, plan.r1.parquet, ...                a plan, and its revisions
000001-0002.parquet, 000001-0002.r1.parquet, ...  a unit's scores, and those with some of its rows scored once more
000001-0002.transient                             put before the file of that stem where some of its rows are worth
                                                  another try: a listing tells
"""

import re
from collections.abc import Iterable
from typing import NamedTuple

MOST = 3  # rounds after the first: what killed its worker so often does not get well
NAME = re.compile(r"([^./]+)(?:\.r(\d+))?\.(parquet|transient)")


class Newest(NamedTuple):
    """The file that holds, and whether it has rows that are worth another try."""

    file: str
    round: int
    transient: bool


def stem(name: str, number: int) -> str:
    """What the files of a round are called, without what comes after the last dot."""
    return f"{name}.r{number}" if number else name


def base(name: str) -> str:
    """What a stem, or a file, is a round of."""
    return name.partition(".")[0]


def round_of(stem: str) -> int:
    """The number of its round."""
    return int(stem.partition(".r")[2] or 0)


def next_rounds(units: Iterable[str], there: dict[str, Newest]) -> dict[str, int]:
    """Unit -> the round to be put, of those that have no scores, or some that are worth another try."""
    rounds = {}
    for unit in units:
        if unit not in there:
            rounds[unit] = 0
        elif there[unit].transient and there[unit].round < MOST:
            rounds[unit] = there[unit].round + 1
    return rounds


def newest(files: Iterable[str]) -> dict[str, Newest]:
    """What holds under each name."""
    transient, rounds = set(), dict[str, int]()
    for file in files:
        if found := NAME.fullmatch(file):
            name, number, ending = found[1], int(found[2] or 0), found[3]
            if ending == "transient":
                transient.add(stem(name, number))
            else:
                rounds[name] = max(number, rounds.get(name, 0))
    return {
        name: Newest(f"{stem(name, number)}.parquet", number, stem(name, number) in transient)
        for name, number in rounds.items()
    }
