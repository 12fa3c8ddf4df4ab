"""What a run has to score, cut into the tasks that read it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from pipeline.plan.plan import Plan, Split, bytes_of, split_cuts, splits_of

# Neighbours share a task where there are more than TASKS, but for those that are a good piece of work by themselves:
# Ray Data keeps a list of tasks.
TASKS, TASK_BYTES = 4096, 2**26


@dataclass(frozen=True)
class PlannedWork:
    """The splits of a plan in which a unit is missing. It is handed to the tasks; each knows the splits of its number.

    columns, id: the plan's. rows: of the whole input. before: those that an earlier run has scored. later: unit -> its
    round (pipeline.plan.rounds), where that is not the first.
    units: of these splits. bounds: at which of them a task begins; and their number, at the end.
    """

    columns: dict[str, str]
    id: str
    rows: int
    before: int
    later: dict[str, int]
    units: pa.Table
    bounds: np.ndarray

    @property
    def tasks(self) -> int:
        return len(self.bounds) - 1

    def splits(self, task: int) -> Iterator[Split]:
        start, stop = self.bounds[task : task + 2].tolist()
        return splits_of(self.units.slice(start, stop - start))


def planned_work(plan: Plan, rounds: dict[str, int]) -> PlannedWork:
    """What there is to do of a plan, if these units are to be put, each in its round."""
    missing = np.array([name in rounds for name in plan.unit_names()], dtype=bool)
    splits = plan.units["split"].to_numpy()
    units = plan.units.filter(pa.array(np.isin(splits, splits[missing]))).combine_chunks()
    cuts = split_cuts(units)
    ranges = units["ranges"].take(pa.array(cuts[:-1])).to_pylist()
    tasks = together([bytes_of(flat) for flat in ranges])
    return PlannedWork(
        columns=plan.columns,
        id=plan.id,
        rows=plan.rows,
        before=plan.rows - int(plan.unit_rows()[missing].sum()),
        later={name: number for name, number in rounds.items() if number},
        units=units,
        bounds=cuts[tasks],
    )


def together(sizes: Sequence[int]) -> list[int]:
    """At which of so many pieces, of these bytes, a task begins; and their number, at the end."""
    most = -(-len(sizes) // TASKS)
    cuts, held = [0], 0
    for i, size in enumerate(sizes):
        if i > cuts[-1] and (i - cuts[-1] == most or held + size > TASK_BYTES):
            cuts.append(i)
            held = 0
        held += size
    return [*cuts, len(sizes)] if sizes else cuts
