"""The carried columns of a result of many parts: read once, in the order of the input, and put by bucket.

A bucket's queries may stand anywhere in the input: were each bucket to fetch its own rows, most of the input would be
read again for each. So every bucket first says which rows it keeps, by the stretch of the input in which they stand.
Then every stretch is read once, and the rows that are kept are put by bucket, beside the merged score files, with which
they go once the result is committed. Fusing a bucket then reads what is its own.
"""

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import pyarrow as pa

from pipeline.cluster.tasks import run_tasks
from pipeline.plan.plan import Plan, split_cuts
from pipeline.rank.buckets import Bucketed, bucketed, index_of, stored
from pipeline.rank.carry import PLACE, Fetch, carried_schema
from pipeline.rank.merge import MERGED
from pipeline.rank.part import RankBucket
from pipeline.storage.folder import Folder

FEW = 4  # buckets, up to which each fetches its rows from the input itself
STRETCH_ROWS = 1_000_000
STRETCH_SPLITS = 1000
FILE_BYTES = 128 * 2**20  # of carried columns in memory, held three times
FORMAT = 1  # of what is put: raised when the same scores come to other files
KEPT = pa.schema([("bucket", pa.int32()), *PLACE])


def texts_of(
    rank: RankBucket, columns: dict[str, str], plan: Plan, scores: Folder, buckets: int, tag: str
) -> Callable[[int, pa.Table], pa.Table]:
    """What gives the carried columns of a bucket's rows; made here, on the cluster, where there are many buckets.

    columns: as pipeline.rank.carry.carried gives them. tag: of the result, part of the names of what is put.
    """
    files = plan.places()
    fetch = Fetch(files, carried_schema(columns, files))
    if buckets <= FEW or "dictionary<" in str(fetch.schema):  # one in a list or struct cannot be put by bucket
        return fetch
    starts = stretches(plan)
    made_of = json.dumps([FORMAT, tag, buckets, FILE_BYTES, starts.tolist()])
    name = f"{MERGED}{hashlib.sha256(made_of.encode()).hexdigest()[:16]}"
    kept = run_tasks(KeepRows(rank, scores, starts, name), range(buckets))
    rows = Bucketed(scores, {f"{name}-{bucket:05d}.arrow": index for bucket, index in enumerate(kept)}, KEPT)
    gather = GatherStretch(rows, fetch, scores, buckets, name, FILE_BYTES)
    index = {file: index for piece in run_tasks(gather, range(len(starts))) for file, index in piece.items()}
    return Gathered(Bucketed(scores, index, fetch.texts))


def stretches(plan: Plan) -> np.ndarray:
    """The place (see `places`) at which each stretch of the input begins: whole splits, as many as STRETCH_ROWS and
    STRETCH_SPLITS allow, and one at least."""
    units = plan.units
    first = split_cuts(units)[:-1]
    begins = places(units["file"].to_numpy()[first], units["start"].to_numpy()[first])
    rows = np.add.reduceat(plan.unit_rows(), first)
    order = np.argsort(begins)
    starts: list[int] = []
    held = splits = 0
    for begin, more in zip(begins[order].tolist(), rows[order].tolist(), strict=True):
        held, splits = held + more, splits + 1
        if not starts or held > STRETCH_ROWS or splits > STRETCH_SPLITS:
            starts.append(begin)
            held, splits = more, 1
    return np.array(starts)


def places(file: np.ndarray, row: np.ndarray) -> np.ndarray:
    """One number for file and row, in the order of the input."""
    return file.astype(np.int64) << 40 | row


@dataclass(frozen=True)
class KeepRows:
    """The task of saying which rows a bucket keeps, by stretch."""

    rank: RankBucket
    scores: Folder
    starts: np.ndarray
    name: str

    def __call__(self, bucket: int) -> np.ndarray:
        """The index of the file that says it."""
        return stored(self.scores, f"{self.name}-{bucket:05d}.arrow", len(self.starts), lambda: self._kept(bucket))

    def _kept(self, bucket: int) -> tuple[bytes, np.ndarray]:
        ranked = self.rank(bucket).ranked
        place = places(ranked["file"].to_numpy(), ranked["row"].to_numpy())
        stretch = np.searchsorted(self.starts, place, side="right") - 1
        own = pa.repeat(pa.scalar(bucket, pa.int32()), len(ranked))
        rows = ranked.select(["file", "row"]).add_column(0, KEPT.field("bucket"), own)
        return bucketed(rows, stretch, len(self.starts))


@dataclass(frozen=True)
class GatherStretch:
    """The task of reading a stretch of the input, and putting the rows that are kept, by bucket."""

    kept: Bucketed
    fetch: Fetch
    scores: Folder
    buckets: int
    name: str
    file_bytes: int

    def __call__(self, stretch: int) -> dict[str, np.ndarray]:
        """The index of each file that was put, in the order of the input. A stretch whose list is there is not read."""
        listed = f"{self.name}-{stretch:06d}.json"
        if self.scores.size(listed) is not None:
            return {name: index_of(self.scores, name, self.buckets) for name in json.loads(self.scores.read(listed))}
        files: dict[str, np.ndarray] = {}
        for bucket, texts in self._filled(self.kept.read(stretch).combine_chunks()):
            name = f"{self.name}-{stretch:06d}-{len(files):06d}.arrow"
            files[name] = stored(self.scores, name, self.buckets, partial(bucketed, texts, bucket, self.buckets))
        self.scores.put_new(listed, json.dumps([*files]).encode())
        return files

    def _filled(self, kept: pa.Table) -> Iterator[tuple[np.ndarray, pa.Table]]:
        """The buckets and the carried columns of these rows, in the order of the input, file_bytes at a time."""
        kept = kept.take(np.argsort(places(kept["file"].to_numpy(), kept["row"].to_numpy())))
        held: list[pa.Table] = []
        size = done = count = 0
        for texts in self.fetch.pieces(kept):
            held.append(texts)
            size, count = size + texts.nbytes, count + len(texts)
            if size >= self.file_bytes:
                yield kept["bucket"].to_numpy()[done:count], pa.concat_tables(held)
                held, size, done = [], 0, count
        if count > done:
            yield kept["bucket"].to_numpy()[done:], pa.concat_tables(held)


@dataclass(frozen=True)
class Gathered:
    """What reads the carried columns of a bucket's rows where they were put by bucket."""

    texts: Bucketed

    def __call__(self, bucket: int, rows: pa.Table) -> pa.Table:
        return self.texts.read(bucket)
