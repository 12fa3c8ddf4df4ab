"""Units whose pairs all have scores already (pipeline/rank/known.py) get their score files without an engine."""

from dataclasses import dataclass
from typing import NamedTuple

import pyarrow.compute as pc

from pipeline.cluster.contract import Cluster
from pipeline.errors import say
from pipeline.plan.units import name_score_file
from pipeline.plan.work import Work
from pipeline.rank.known import KnownScores
from pipeline.rows import KNOWN, OK
from pipeline.score.files import encode_scores, has_transient, make_unscored_table
from pipeline.score.prompt import PromptedUnit, add_hashes
from pipeline.score.read import read_task
from pipeline.sizes import Sizes
from pipeline.storage.folder import Folder


class Taken(NamedTuple):
    """The scores that a task took over. names: of the score files that it put. scores: how many those have. known: how
    many of all the rows it looked at have a score."""

    names: list[str]
    scores: int
    known: int
    rows: int


@dataclass(frozen=True)
class TakeOver:
    """The task of putting the score files of those units of a task's work whose rows are all known. scores: their
    folder."""

    known: KnownScores
    work: Work
    scores: Folder
    sizes: Sizes

    def __call__(self, task: int) -> Taken:
        names, scores, known, rows, config = list[str](), 0, 0, 0, self.work.config
        for unit, file, read in read_task(self.work, task, self.sizes):
            pairs = self.known(add_hashes(read, config))
            here = pc.sum(pc.equal(pairs["kind"], KNOWN)).as_py() or 0
            known, rows = known + here, rows + len(pairs)
            if unit.retry or pc.any(pc.equal(pairs["kind"], OK)).as_py():
                continue
            table = make_unscored_table(PromptedUnit(unit.name, file, pairs, [], []), config.output.explain)
            names.append(name_score_file(unit.name, has_transient(table)))
            self.scores.put_new(names[-1], encode_scores(table))
            scores += here
        return Taken(names, scores, known, rows)


def take_over(known: KnownScores, work: Work, scores: Folder, cluster: Cluster, sizes: Sizes) -> Taken:
    """Does so for all of the work, and says how many of its rows are known."""
    taken = [*cluster.run(TakeOver(known, work, scores, sizes), range(work.tasks))]
    names = [name for one in taken for name in one.names]
    counts = (sum(getattr(one, field) for one in taken) for field in Taken._fields[1:])
    found = Taken(names, *counts)
    say(f"of {found.rows:,} rows to score {found.known:,} are known by their texts")
    return found
