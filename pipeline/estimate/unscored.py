"""The units that a run still has to score. Nothing is written or deleted."""

import random
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np

from pipeline.check.preflight import Checked
from pipeline.estimate.sizes import Sizes
from pipeline.input.footers import FOOTER_THREADS, read_first_file
from pipeline.output.commit import read_last_manifest
from pipeline.plan.changes import find_changes
from pipeline.plan.reuse import Earlier, find_earlier
from pipeline.plan.splits import Split, cut_splits
from pipeline.plan.stored import list_stored
from pipeline.plan.units import Coverage, Unit, hash_version
from pipeline.plan.work import select_work


@dataclass(frozen=True)
class UnscoredUnits:
    """The units that have no scores yet, by the splits that bring them.

    splits, tasks: of all files, or of those whose footers were read; a task reads some splits. columns: logical name
    -> column in the files. scored: rows that have scores, and stay. failed: score files, at most, with rows that are
    scored once more; they are not estimated.
    earlier: where their texts may have scores.
    scale: bytes of all files / bytes of those whose footers were read; above 1, the numbers of rows and units are
    estimates.
    """

    splits: list[Split]
    tasks: int
    columns: dict[str, str]
    scored: int
    failed: int
    files: int
    scale: float
    earlier: list[Earlier] = field(default_factory=list)

    @property
    def exact(self) -> bool:
        return self.scale == 1

    @property
    def units(self) -> list[tuple[Split, Unit]]:
        """Those of the files whose footers were read."""
        return [(split, unit) for split in self.splits for unit in split.units]

    @property
    def unit_count(self) -> int:
        return round(len(self.units) * self.scale)

    @property
    def rows(self) -> int:
        return round(int(self.unit_rows().sum()) * self.scale)

    def unit_rows(self) -> np.ndarray:
        """Rows of each of `units`."""
        return np.array([unit.size for _, unit in self.units], dtype=np.int64)


def find_unscored_units(checked: Checked, sizes: Sizes = Sizes(), everything: bool = False) -> UnscoredUnits:
    """The units that a run of this config would score now. Raises UsageError as the run would.

    everything: those that have scores, too, as if the run threw them away.
    """
    config, restart = checked.config, everything or checked.config.run.on_existing == "restart"
    files, _ = find_changes(config, checked.files, None if restart else read_last_manifest(checked.output))
    stored = [] if restart else list_stored(checked)
    coverage, seen = Coverage(stored), files
    if len(files) > sizes.files:
        drawn = random.Random(0).sample(range(1, len(files)), sizes.files - 1)
        seen = [files[0], *(files[i] for i in sorted(drawn))]  # the first one says which columns there are
    first = read_first_file(config, files)
    work = select_work(config, first, seen, coverage, retry_failed=config.run.retry_failed)
    parts = [part for task in range(work.tasks) for part in work.read_parts(task)]
    with ThreadPoolExecutor(FOOTER_THREADS) as pool:
        splits = [
            split
            for found in pool.map(lambda part: [*cut_splits(part, config, first)], parts)
            for split in found
            if split.row_groups
        ]
    versions = [hash_version(file) for file in files]
    return UnscoredUnits(
        splits=splits,
        tasks=work.tasks,
        columns=first.columns,
        scored=coverage.count_scored(versions),
        failed=sum(found.transient for version in versions for found in coverage.find_failed(version))
        if config.run.retry_failed
        else 0,
        files=len(files),
        scale=sum(file.size for file in files) / sum(file.size for file in seen),
        earlier=[] if restart or not work.tasks else find_earlier(checked, files, stored),
    )
