"""Score files -> merged files, whose rows lie by bucket, so that fusing a bucket reads its own rows and nothing else.

Units hold whatever queries the input has there, so each bucket has a few rows in every score file. A group of
consecutive units is read once, and its rows are put bucket by bucket, as one file (pipeline/rank/buckets.py) with its index
behind it.

A merged file is named by all that it was made from, so one that is there is the right one, and a merge that was
stopped goes on. Once the result is committed they go.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from pipeline.cluster.tasks import run_tasks
from pipeline.rank.buckets import Bucketed, bucket_of, bucketed, stored
from pipeline.score.files import EXPLAINED, SCHEMA, read_scores
from pipeline.storage.folder import Folder

MERGED = "merged/"  # below the folder of the scores
FORMAT = 1  # of a merged file: raised when the same score files come to another one
GROUP_ROWS = 1_000_000  # about 60 bytes each, held three times
GROUP_BYTES = 32 * 2**20  # of score files: fewer rows where they hold what the model wrote, three or four times as long


@dataclass(frozen=True)
class Group:
    """name: of the merged file. units: name -> size of the score files."""

    name: str
    units: dict[str, int]


def cut_groups(units: dict[str, int], rows: list[int], plan: str, buckets: int) -> list[Group]:
    """Groups of consecutive units, each of as many as GROUP_ROWS and GROUP_BYTES allow, and of one at least.

    units: name -> size of the score files, in the order of the plan. rows: of each.
    """
    groups: list[dict[str, int]] = []
    held_rows = held_bytes = 0
    for (name, size), count in zip(units.items(), rows, strict=True):
        held_rows, held_bytes = held_rows + count, held_bytes + size
        if not groups or held_rows > GROUP_ROWS or held_bytes > GROUP_BYTES:
            groups.append({})
            held_rows, held_bytes = count, size
        groups[-1][name] = size
    return [Group(_name(group, plan, buckets), group) for group in groups]


def _name(units: dict[str, int], plan: str, buckets: int) -> str:
    made_from = json.dumps([FORMAT, plan, buckets, list(units.items())])
    return f"{MERGED}{hashlib.sha256(made_from.encode()).hexdigest()[:16]}.arrow"


@dataclass(frozen=True)
class MergeGroup:
    """The task of merging one group, unless its merged file is there already."""

    scores: Folder
    plan: str
    buckets: int
    explain: bool

    def __call__(self, group: Group) -> np.ndarray:
        """The merged file's index."""
        return stored(self.scores, group.name, self.buckets, lambda: self._merged(group))

    def _merged(self, group: Group) -> tuple[bytes, np.ndarray]:
        rows = read_scores(self.scores, group.units, self.plan, self.explain)
        return bucketed(rows, bucket_of(rows["query_id"], self.buckets), self.buckets)


def score_rows(
    scores: Folder, plan: str, units: dict[str, int], rows: list[int], buckets: int, explain: bool
) -> Callable[[int], pa.Table]:
    """What reads a bucket's score rows: from the score files where there is one bucket, else from merged files, which
    are made here, on the cluster.

    units: name -> size of the score files, in the order of the plan. rows: of each.
    """
    if buckets == 1:
        return lambda _: read_scores(scores, units, plan, explain)
    groups = cut_groups(units, rows, plan, buckets)
    indices = run_tasks(MergeGroup(scores, plan, buckets, explain), groups)
    index = {group.name: index for group, index in zip(groups, indices, strict=True)}
    return Bucketed(scores, index, EXPLAINED if explain else SCHEMA).read


def sweep_merged(scores: Folder) -> None:
    """Deletes every merged file, once the result stands."""
    scores.delete(list(scores.files(MERGED)))
