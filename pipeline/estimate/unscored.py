"""The units that a run still has to score, of its plan or of the plan it would make. Nothing is written or deleted."""

import random
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from pipeline.check.preflight import Checked
from pipeline.estimate.sizes import Sizes
from pipeline.plan.existing import UNIT, list_score_files, read_plan, select_own
from pipeline.plan.plan import Plan, make_plan, unit_rows
from pipeline.plan.replan import find_changed, revise_plan
from pipeline.plan.rounds import find_newest, find_next_rounds


@dataclass(frozen=True)
class UnscoredUnits:
    """The units that have no scores yet.

    plan: of all files, or of those whose footers were read. at: the numbers of their rows in plan.units.
    again: units that have scores, some of which are worth another try; they are not estimated. drafted: units that
    have scores, by a draft of a plan (pipeline.plan.draft), which does not say how many rows they have: they are
    estimated as if they were to be scored.
    scale: bytes of all files / bytes of those in the plan; above 1, the numbers of rows and units are estimates.
    """

    plan: Plan
    at: np.ndarray
    again: int
    drafted: int
    files: int
    scale: float

    @property
    def exact(self) -> bool:
        return self.scale == 1

    @property
    def units(self) -> int:
        return round(len(self.at) * self.scale)

    @property
    def rows(self) -> int:
        return round(int(self.unit_rows().sum()) * self.scale)

    def unit_rows(self) -> np.ndarray:
        """Rows of each of the units, of those in the plan."""
        return self.plan.unit_rows()[self.at]

    def table(self) -> pa.Table:
        """The plan's rows for the units."""
        return self.plan.units.take(pa.array(self.at))


def find_unscored_units(checked: Checked, sizes: Sizes = Sizes(), seed: int = 0) -> UnscoredUnits:
    """The units that a run of this config would score now. Raises UsageError as the run would."""
    config, files = checked.config, checked.files
    stored = [] if config.run.on_existing == "restart" else select_own(checked, list_score_files(checked))
    plan = read_plan(checked.scores, stored)  # a run would make one of a draft, and put it
    if plan is not None:
        if changed := find_changed(plan.versions(), files):
            plan = revise_plan(plan, config, files, changed)
        units = plan.unit_names()
        rounds = find_next_rounds(units, find_newest(stored))
        at = np.array([i for i, unit in enumerate(units) if rounds.get(unit) == 0], dtype=np.int64)
        return UnscoredUnits(plan, at, len(rounds) - len(at), 0, len(files), 1.0)
    seen = files
    if len(files) > sizes.files:
        drawn = random.Random(seed).sample(range(1, len(files)), sizes.files - 1)
        seen = [files[0], *(files[i] for i in sorted(drawn))]  # the first one says which columns there are
    plan = make_plan(config, seen, unit_rows(config))
    scale = sum(file.size for file in files) / sum(file.size for file in seen)
    drafted = sum(UNIT.match(file) is not None for file, *_ in find_newest(stored).values())
    return UnscoredUnits(plan, np.arange(len(plan.units)), 0, drafted, len(files), scale)
