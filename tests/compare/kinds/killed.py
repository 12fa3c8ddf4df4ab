"""Drivers that are killed on the way, at a moment that is drawn, and the same run again."""

import random

from ..case import OUT, Case, Cases, Place, Step, config, look, rerank
from .resume import write_pairs

CASES = 10
FILES = 18  # that a whole run of these pairs puts, about


def cases(place: Place) -> Cases:
    here = write_pairs(place.below("pairs"))
    for number in range(min(CASES, place.cases or CASES)):
        draw = random.Random(f"killed {place.seed} {number}")
        given = config(
            str(here),
            run={"unit_rows": 50, "max_failed": 0.1},
            output={"path": OUT, "columns": draw.choice([[], ["doc"]])},
        )
        if draw.random() < 0.3:
            given["workers"] = {"count": 2}
        kills: list[Step] = [
            {"do": "kill", "config": given, "files": draw.randint(1, FILES), "pause": draw.choice([0, 0.05, 0.3])}
            for _ in range(draw.choice([1, 1, 2]))
        ]
        yield Case(f"{number}", [*kills, rerank(given, late=True), look(late=True), rerank(given, late=True)])
