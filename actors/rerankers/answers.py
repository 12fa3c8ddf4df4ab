"""Reads the order of a window's passages out of an answer that a model wrote.

Source: rank_llm, response_utils.py: every run of digits is an identifier, in whatever script the digits are; the first
of repeats counts; what is out of range is passed over; passages that the answer does not name stand behind those that
it names, in the order they had. We differ in that
  the number with which an unfinished answer ends is not taken, for it may be a part of a longer one
  an answer that names no passage counts as one that cannot be read, and not as the order the passages had; so does one
  without the text behind which the config says that answers stand
"""

import re
import unicodedata
from typing import NamedTuple

THINK = "</think>"  # behind which rank_llm reads, where a model wrote it


class Order(NamedTuple):
    """The order in an answer: all passages of its window by their numbers from 0, best first; and how many of these it
    names, the others standing behind in the order they had."""

    numbers: list[int]
    named: int


def read_numbers(text: str, count: int, finished: bool = True, ties: str = "") -> Order:
    """The order that a text says, of passages with the identifiers 1 to `count`.

    finished: whether the text came to its end. ties: the sign between passages that are equally good, which keep the
    order they had (Rank-K's `=`, between groups with `>`); empty where there is none.
    """
    text = "".join(map(_read_digit, text))
    if not finished:
        text = text.rstrip("0123456789")
    named: list[int] = []
    for group in text.split(">") if ties else [text]:
        # Nine digits say that a number is out of range. Python reads no text of thousands, which a model may repeat.
        numbers = [int(number[:9]) - 1 for number in re.findall("0*([0-9]+)", group)]
        named += sorted(numbers) if ties in group and ties else numbers
    named = list(dict.fromkeys(number for number in named if 0 <= number < count))
    return Order([*named, *(number for number in range(count) if number not in named)], len(named))


def find_answer(text: str, mark: str | None) -> str:
    """The text behind the last of a mark, which is empty where there is none. mark: None for `</think>`, or else the
    beginning."""
    _, found, behind = text.rpartition(mark or THINK)
    return behind if found or mark is None else ""


def check_pattern(pattern: str, group: str) -> str:
    """A regular expression that finds an answer by its one group. group: the words for that. Raises ValueError."""
    try:
        groups = re.compile(pattern).groups
    except re.error as error:
        raise ValueError(f"is no regular expression: {error}") from None
    if groups != 1:
        raise ValueError(f"should have one group, which is {group}, and not {groups}")
    return pattern


def find_last_line(text: str) -> str:
    """The last line that is not blank."""
    return next((line for line in reversed(text.splitlines()) if line.strip()), "")


def _read_digit(character: str) -> str:
    """A digit of any script, a superscript or one in a circle as an ASCII digit."""
    return str(unicodedata.digit(character, character)) if not character.isascii() else character
