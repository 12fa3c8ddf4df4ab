"""The units that a run has to score, cut into the tasks that read them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from pipeline.plan.plan import Plan, Split, count_bytes, split_cuts, splits_of
from pipeline.sizes import Sizes


@dataclass(frozen=True)
class PlannedWork:
    """The splits of a plan that have units to score. It is passed to the tasks, and each reads its own splits.

    columns, id: the plan's. rows: of the whole input. before: rows that earlier runs have scored. later: unit -> its
    round (pipeline.plan.rounds), where that is not the first.
    units: all units of these splits. bounds: the index of the first unit of each task, and at the end their number.
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
        """How many there are."""
        return len(self.bounds) - 1

    def splits(self, task: int) -> Iterator[Split]:
        """The splits of a task."""
        start, stop = self.bounds[task : task + 2].tolist()
        return splits_of(self.units.slice(start, stop - start))


def select_work(plan: Plan, rounds: dict[str, int], sizes: Sizes) -> PlannedWork:
    """The work for a plan. rounds: unit -> its round, for the units to score."""
    missing = np.array([name in rounds for name in plan.unit_names()], dtype=bool)
    splits = plan.units["split"].to_numpy()
    units = plan.units.filter(pa.array(np.isin(splits, splits[missing]))).combine_chunks()
    cuts = split_cuts(units)
    ranges = units["ranges"].take(pa.array(cuts[:-1])).to_pylist()
    tasks = group_neighbours([count_bytes(flat) for flat in ranges], sizes)
    return PlannedWork(
        columns=plan.columns,
        id=plan.id,
        rows=plan.rows,
        before=plan.rows - int(plan.unit_rows()[missing].sum()),
        later={name: number for name, number in rounds.items() if number},
        units=units,
        bounds=cuts[tasks],
    )


def group_neighbours(pieces: Sequence[int], sizes: Sizes) -> list[int]:
    """The index of the first piece of each task, and at the end the number of pieces. pieces: their bytes."""
    most = -(-len(pieces) // sizes.tasks)
    cuts, in_task = [0], 0
    for i, size in enumerate(pieces):
        if i > cuts[-1] and (i - cuts[-1] == most or in_task + size > sizes.task_bytes):
            cuts.append(i)
            in_task = 0
        in_task += size
    return [*cuts, len(pieces)] if pieces else cuts
