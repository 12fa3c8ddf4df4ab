"""`run.until`: scoring ends in time for the result to stand then. Rows that have no score by then go into that result
without one; they have score files of their own, which no later run takes for scores.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.plan.units import name_score_file
from pipeline.plan.work import Work
from pipeline.rows import LATE, NOT_IN_TIME, OK, replace_column
from pipeline.score.files import encode_scores, make_unscored_table
from pipeline.score.prompt import PromptedUnit, add_hashes
from pipeline.score.read import read_task
from pipeline.sizes import Sizes
from pipeline.storage.folder import Folder

RANKING_SHARE, RANKING_SECONDS = 0.1, 1800.0  # of the time that is left: what ranking and the commit may take


@dataclass(frozen=True)
class Deadline:
    """When scoring ends, in seconds since the epoch. clock: says what time it is."""

    at: float = math.inf
    clock: Callable[[], float] = time.time

    @property
    def is_over(self) -> bool:
        return self.clock() >= self.at


def set_deadline(end: float | None, stages: int, clock: Callable[[], float]) -> Deadline:
    """The end of scoring, for the result to stand at `end` (seconds since the epoch; None: no matter when).

    A tenth of the time left is for units in flight, ranking and the commit, and half an hour at most. stages: how many
    there are from here on; each gets the same share of the time.
    """
    if end is None:
        return Deadline()
    now = clock()
    left = end - now
    return Deadline(now + (left - min(RANKING_SHARE * left, RANKING_SECONDS)) / stages, clock)


@dataclass(frozen=True)
class PutLate:
    """The task of putting score files that have no scores, for the units of a task's work. scores: the folder of all
    scores; folder: the one in it for these.

    Pairs that could have a score have the kind LATE."""

    work: Work
    scores: Folder
    folder: str
    sizes: Sizes

    def __call__(self, task: int) -> list[str]:
        """The names of the files, below all scores."""
        names, config = list[str](), self.work.config
        for unit, file, rows in read_task(self.work, task, self.sizes):
            rows = add_hashes(rows, config)
            ready = pc.equal(rows["kind"], OK)
            rows = replace_column(rows, "reason", pc.if_else(ready, NOT_IN_TIME, rows["reason"]))
            rows = replace_column(rows, "kind", pc.if_else(ready, LATE, rows["kind"]))
            rows = rows.append_column("truncated", pa.repeat(False, len(rows)))
            table = make_unscored_table(PromptedUnit(unit.name, file, rows, [], []), config.output.explain)
            names.append(f"{self.folder}/{name_score_file(unit.name, transient=False)}")
            self.scores.put(names[-1], encode_scores(table))
        return names
