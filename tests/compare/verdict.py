"""Where two answers differ, and how that is shown."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

SHOWN = 6  # differences of one case
WIDTH = 300  # characters of a value
ABSENT = "(nothing)"


class Difference(NamedTuple):
    place: str
    old: Any
    new: Any


@dataclass
class Tally:
    """The verdict on a kind. meant: difference that is meant -> cases. prints: cases in which the fingerprints differ,
    which is no difference in what is done."""

    kind: str
    cases: int = 0
    different: list[tuple[str, list[Difference]]] = field(default_factory=list)
    meant: Counter[str] = field(default_factory=Counter)
    prints: int = 0
    seconds: float = 0.0


def differences(old: Any, new: Any, place: str = "") -> Iterator[Difference]:
    """Every leaf that the answers do not share, by its place in them."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in [*old, *(key for key in new if key not in old)]:
            if key != "note":
                yield from differences(old.get(key, ABSENT), new.get(key, ABSENT), f"{place}.{key}".lstrip("."))
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for number, pair in enumerate(zip(old, new, strict=True)):
            yield from differences(*pair, f"{place}[{number}]")
    elif (type(old), old) != (type(new), new):
        yield Difference(place, old, new)


def notes(answer: Any) -> list[Any]:
    """All that stands under `note` in an answer."""
    if isinstance(answer, list):
        return [note for value in answer for note in notes(value)]
    if isinstance(answer, dict):
        below = [note for value in answer.values() for note in notes(value)]
        return below + ([answer["note"]] if "note" in answer else [])
    return []


def told(kind: str, case: str, found: list[Difference]) -> str:
    """The differences of a case, a few lines each."""
    lines = []
    for difference in found[:SHOWN]:
        old, new = _side_by_side(difference.old, difference.new)
        lines += [f"{kind} / {case}: {difference.place}", f"    old: {old}", f"    new: {new}"]
    if len(found) > SHOWN:
        lines.append(f"{kind} / {case}: and {len(found) - SHOWN} more")
    return "\n".join(lines)


def _side_by_side(old: Any, new: Any) -> tuple[str, str]:
    """Both as text, from a little before they part."""
    first, second = repr(old), repr(new)
    same = next((i for i, (a, b) in enumerate(zip(first, second, strict=False)) if a != b), 0)
    start = max(0, same - 60)
    return tuple(("..." if start else "") + text[start : start + WIDTH] for text in (first, second))  # type: ignore


def table(tallies: list[Tally]) -> str:
    rows = [["kind", "cases", "different", "seconds", "other fingerprint"]]
    for tally in tallies:
        counts = [tally.cases, len(tally.different), round(tally.seconds), tally.prints]
        rows.append([tally.kind, *map(str, counts)])
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    meant = sum((tally.meant for tally in tallies), Counter[str]())
    lines += [f"meant, in {cases} cases: {what}" for what, cases in meant.most_common()]
    return "\n".join(lines)
