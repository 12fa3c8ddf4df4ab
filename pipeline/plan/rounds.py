"""The names of files that are put once and later replaced by one with a higher number: the highest holds.

plan.parquet, plan.r1.parquet, ...                a plan, and its revisions
000001-0002.parquet, 000001-0002.r1.parquet, ...  a unit's scores, and those with some of its rows scored once more
000001-0002.transient, ...                        put before the .parquet file of the same name where some of its rows
                                                  are worth another try, so that a listing shows it

Files of one number are a round. A unit's first round is 0, and has no number in its name.
"""

import re
from collections.abc import Iterable
from typing import NamedTuple

MOST = 3  # rounds after the first: rows that killed their workers in all of them are left without a score
NAME = re.compile(r"([^./]+)(?:\.r(\d+))?\.(parquet|transient)")


class Newest(NamedTuple):
    """The file of the highest round, and whether it has rows that are worth another try."""

    file: str
    round: int
    transient: bool


def name_round(name: str, number: int) -> str:
    """The name of the files of a round, without their extension."""
    return f"{name}.r{number}" if number else name


def parse_name(file: str) -> str:
    """The name that all rounds share. file: the name of a round, with an extension or without."""
    return file.partition(".")[0]


def parse_round(name: str) -> int:
    """The number of a round. name: of its files, without their extension."""
    return int(name.partition(".r")[2] or 0)


def find_next_rounds(units: Iterable[str], there: dict[str, Newest]) -> dict[str, int]:
    """Unit -> the round to put, for units without scores and for those with rows that are worth another try."""
    rounds = {}
    for unit in units:
        if unit not in there:
            rounds[unit] = 0
        elif there[unit].transient and there[unit].round < MOST:
            rounds[unit] = there[unit].round + 1
    return rounds


def find_newest(files: Iterable[str]) -> dict[str, Newest]:
    """Name -> the file that holds."""
    transient, rounds = set(), dict[str, int]()
    for file in files:
        if found := NAME.fullmatch(file):
            name, number, ending = found[1], int(found[2] or 0), found[3]
            if ending == "transient":
                transient.add(name_round(name, number))
            else:
                rounds[name] = max(number, rounds.get(name, 0))
    return {
        name: Newest(f"{name_round(name, number)}.parquet", number, name_round(name, number) in transient)
        for name, number in rounds.items()
    }
