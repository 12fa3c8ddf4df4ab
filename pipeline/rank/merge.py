"""Score files -> merged files, whose rows lie by bucket, so that ranking a bucket reads its own rows and nothing else.

Units hold whatever queries the input has there, so each bucket has a few rows in every score file. A group of
consecutive units is read once, and its rows are put bucket by bucket, as one file (pipeline/rank/buckets.py) with its
index behind it.

A merged file is named by all that it was made from, so one that is there is the right one, and a merge that was
stopped goes on. Once the result is committed they are deleted.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from pipeline.cluster.contract import Cluster
from pipeline.rank.buckets import BucketReader, encode_by_bucket, find_buckets, put_bucketed
from pipeline.score.files import StoredScores, get_schema, join_overlapping, read_scores
from pipeline.sizes import Sizes
from pipeline.storage.folder import Folder

MERGED_VERSION = 3  # raised when the same score files make another merged file


def count_buckets(rows: int, sizes: Sizes, explain: bool = False, carried: bool = False) -> int:
    """Buckets, and so parts of the result. It depends on the number of input rows, and on what a row of the result
    holds (`output.explain`, `output.columns`), alone."""
    most = sizes.bucket_rows
    if explain:
        most = sizes.explained_bucket_rows
    elif carried:
        most = min(max(sizes.carried_bucket_rows, rows // sizes.most_carried_buckets), sizes.bucket_rows)
    return max(1, -(-rows // most))


@dataclass(frozen=True)
class Group:
    """name: of the merged file. stored: the score files."""

    name: str
    stored: list[StoredScores]


def cut_groups(stored: list[StoredScores], buckets: int, sizes: Sizes) -> list[Group]:
    """Groups of consecutive score files, each of as many as merged_rows and merged_bytes allow, and of one at least.
    Files that have the same rows are in one group.

    stored: in the order of the input.
    """
    groups: list[list[StoredScores]] = []
    held_rows = held_bytes = 0
    for together in join_overlapping(stored):
        rows, size = sum(found.file.unit.size for found in together), sum(found.size for found in together)
        held_rows, held_bytes = held_rows + rows, held_bytes + size
        if not groups or held_rows > sizes.merged_rows or held_bytes > sizes.merged_bytes:
            groups.append([])
            held_rows, held_bytes = rows, size
        groups[-1] += together
    return [Group(_name(group, buckets), group) for group in groups]


def _name(group: list[StoredScores], buckets: int) -> str:
    made_from = json.dumps([MERGED_VERSION, buckets, [[found.file.name, found.number] for found in group]])
    return f"{hashlib.sha256(made_from.encode()).hexdigest()[:16]}.arrow"


@dataclass(frozen=True)
class MergeGroup:
    """The task of merging one group, unless its merged file is there already. merged: the folder of merged files."""

    scores: Folder
    merged: Folder
    buckets: int
    explain: bool

    def __call__(self, group: Group) -> np.ndarray:
        """The merged file's index."""
        return put_bucketed(self.merged, group.name, self.buckets, lambda: self._merge(group))

    def _merge(self, group: Group) -> tuple[pa.Buffer, np.ndarray]:
        rows = read_scores(self.scores, group.stored, self.explain)
        return encode_by_bucket(rows, find_buckets(rows["query_id"], self.buckets), self.buckets)


def merge_scores(
    scores: Folder,
    merged: Folder,
    stored: list[StoredScores],
    buckets: int,
    explain: bool,
    cluster: Cluster,
    sizes: Sizes,
) -> Callable[[int], pa.Table]:
    """The function that reads a bucket's score rows: from the score files where there is one bucket, else from merged
    files, which are made here, on the cluster.

    scores, merged: the folders of score files and of merged ones. stored: in the order of the input.
    """
    if buckets == 1:
        return lambda _: read_scores(scores, stored, explain)
    groups = cut_groups(stored, buckets, sizes)
    indices = cluster.run(MergeGroup(scores, merged, buckets, explain), groups)
    index = {group.name: index for group, index in zip(groups, indices, strict=True)}
    return BucketReader(merged, index, get_schema(explain)).read
