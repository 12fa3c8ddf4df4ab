"""What a run has to score, cut into the tasks that read it."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from pipeline.plan import Plan, Slab, slab_cuts, slabs_of

TASKS = 4096  # at most: enough for the largest cluster, and Ray Data keeps a list of them


@dataclass(frozen=True)
class PlannedWork:
    """The slabs of a plan in which a unit is missing. It is handed to the tasks; each knows the slabs of its number.

    columns, id: the plan's. rows: of the whole input; `about` says that it is an estimate. before: those that an
    earlier run has scored. later: unit -> its round (pipeline.rounds), where that is not the first.
    units: of these slabs. bounds: at which of them a task begins; and their number, at the end.
    """

    columns: dict[str, str]
    id: str
    rows: int
    before: int
    later: dict[str, int]
    units: pa.Table
    bounds: np.ndarray
    about: bool = False

    @property
    def tasks(self) -> int:
        return len(self.bounds) - 1

    def slabs(self, task: int) -> Iterator[Slab]:
        start, stop = self.bounds[task : task + 2].tolist()
        return slabs_of(self.units.slice(start, stop - start))


def planned_work(plan: Plan, rounds: dict[str, int]) -> PlannedWork:
    """What there is to do of a plan, if these units are to be put, each in its round."""
    missing = np.array([name in rounds for name in plan.unit_names()], dtype=bool)
    slabs = plan.units["slab"].to_numpy()
    units = plan.units.filter(pa.array(np.isin(slabs, slabs[missing]))).combine_chunks()
    cuts = slab_cuts(units)
    return PlannedWork(
        columns=plan.columns,
        id=plan.id,
        rows=plan.rows,
        before=plan.rows - int(plan.unit_rows()[missing].sum()),
        later={name: number for name, number in rounds.items() if number},
        units=units,
        bounds=np.append(cuts[: -1 : together(len(cuts) - 1)], cuts[-1]),
    )


def together(slabs: int) -> int:
    """How many neighbours one task takes, so that there are no more than TASKS."""
    return max(1, -(-slabs // TASKS))
