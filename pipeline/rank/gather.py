"""The carried columns of a result of many parts: read once, in the order of the input, and put by bucket.

A bucket's queries may stand anywhere in the input: were each bucket to fetch its own rows, most of the input would be
read again for each. So every bucket is ranked first, and puts its ranked rows, and which rows of each stretch of the
input it keeps. Then every stretch is read once, and the rows that are kept are put by bucket. Writing a part then reads
what is its own. All of this stands beside the merged score files, and is deleted with them once the result is
committed; what is there already is not made again.
"""

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from pipeline.cluster.contract import Cluster
from pipeline.errors import make_gone_error
from pipeline.input.listing import InputFile
from pipeline.input.parquet import read_footer
from pipeline.rank.buckets import BucketReader, encode_by_bucket, put_bucketed, read_index
from pipeline.rank.carry import PLACE, CarriedFetcher
from pipeline.rank.part import BucketCounts, RankBucket, RankedBucket
from pipeline.sizes import Sizes
from pipeline.storage.folder import Folder

GATHERED_VERSION = 4  # of what is put: raised when the same scores make other files
KEPT = pa.schema([("bucket", pa.int32()), *PLACE])


class Carried(NamedTuple):
    """How parts are written: what gives a ranked bucket, and the carried columns of its rows."""

    rank: Callable[[int], RankedBucket]
    read_carried: Callable[[int, pa.Table], pa.Table]


def gather_carried(
    rank: RankBucket,
    schema: pa.Schema,
    files: list[InputFile],
    rows: list[int],
    merged: Folder,
    buckets: int,
    result_id: str,
    cluster: Cluster,
    sizes: Sizes,
    by_bucket: bool = False,
) -> Carried:
    """Gathers the carried columns on the cluster where there are many buckets; few fetch their own rows.

    schema: of the carried columns, as select_carried_schema gives it. rows: of each file. merged: the folder for
    what is put. result_id: part of its names. by_bucket: each bucket has the rows of one file, and fetches them, too.
    """
    fetch = CarriedFetcher(files, schema)
    nested = "dictionary<" in str(fetch.schema)  # in a list, where it cannot be put by bucket
    if by_bucket or nested or buckets <= sizes.fetching_buckets:
        return Carried(rank, fetch)
    starts = cut_stretches(files, rows, sizes)
    made_of = json.dumps([GATHERED_VERSION, result_id, buckets, sizes.gathered_bytes, starts.tolist()])
    name = hashlib.sha256(made_of.encode()).hexdigest()[:16]
    ranked = StoredRanking(rank, merged, starts, name)
    kept = cluster.run(ranked.keep, range(buckets))
    kept_rows = BucketReader(merged, {ranked.kept_name(bucket): index for bucket, index in enumerate(kept)}, KEPT)
    gather = GatherStretch(kept_rows, fetch, merged, buckets, name, sizes.gathered_bytes)
    index = {file: index for piece in cluster.run(gather, range(len(starts))) for file, index in piece.items()}
    return Carried(ranked.read, GatheredReader(BucketReader(merged, index, fetch.output_schema)))


def cut_stretches(files: list[InputFile], rows: list[int], sizes: Sizes) -> np.ndarray:
    """The position (see `number_rows`) at which each stretch of the input begins: whole files, and whole row groups of
    those that are larger, as many as stretch_rows and stretch_pieces allow, and one at least. rows: of each file."""
    starts: list[int] = []
    held = pieces = 0
    for number, (file, count) in enumerate(zip(files, rows, strict=True)):
        for first, more in _list_row_groups(file) if count > sizes.stretch_rows else [(0, count)]:
            held, pieces = held + more, pieces + 1
            if not starts or held > sizes.stretch_rows or pieces > sizes.stretch_pieces:
                starts.append(int(number_rows(np.array(number), np.array(first))))
                held, pieces = more, 1
    return np.array(starts)


def _list_row_groups(file: InputFile) -> Iterator[tuple[int, int]]:
    """The first row, and the number of rows, of each row group of a file."""
    footer, _ = read_footer(file.path, file.size, file.version)
    first = 0
    for number in range(footer.num_row_groups):
        rows = footer.row_group(number).num_rows
        yield first, rows
        first += rows


def number_rows(file: np.ndarray, row: np.ndarray) -> np.ndarray:
    """One number for file and row, in the order of the input."""
    return file.astype(np.int64) << 40 | row


@dataclass(frozen=True)
class StoredRanking:
    """Ranks buckets once: `keep` puts what `read` gives back."""

    rank: RankBucket
    merged: Folder
    starts: np.ndarray
    name: str

    def kept_name(self, bucket: int) -> str:
        """The file that says which rows a bucket keeps, by stretch."""
        return f"{self.name}-{bucket:05d}.arrow"

    def _ranked_name(self, bucket: int) -> str:
        return f"{self.name}-{bucket:05d}-ranked.arrow"

    def keep(self, bucket: int) -> np.ndarray:
        """Ranks a bucket and puts it, and which rows it keeps; the index of the file that says so."""
        index = put_bucketed(self.merged, self.kept_name(bucket), len(self.starts), lambda: self._keep(bucket))
        if self.merged.size(self._ranked_name(bucket)) is None:  # deleting both was interrupted in between
            self.merged.put_new(self._ranked_name(bucket), encode_ranked(self.rank(bucket)))
        return index

    def _keep(self, bucket: int) -> tuple[pa.Buffer, np.ndarray]:
        found = self.rank(bucket)
        self.merged.put_new(self._ranked_name(bucket), encode_ranked(found))  # before the file that says it is there
        position = number_rows(found.ranked["file"].to_numpy(), found.ranked["row"].to_numpy())
        stretch = np.searchsorted(self.starts, position, side="right") - 1
        own = pa.repeat(pa.scalar(bucket, pa.int32()), len(found.ranked))
        rows = found.ranked.select(["file", "row"]).add_column(0, KEPT.field("bucket"), own)
        return encode_by_bucket(rows, stretch, len(self.starts))

    def read(self, bucket: int) -> RankedBucket:
        """A bucket as it was ranked. Raises RunError where its file has gone."""
        try:
            return decode_ranked(self.merged.read(self._ranked_name(bucket)))
        except FileNotFoundError as error:
            raise make_gone_error(error) from None


def encode_ranked(found: RankedBucket) -> pa.Buffer:
    """Two Arrow streams, of the ranked rows and of the rejects; the counts stand in the first one's metadata."""
    sink = pa.BufferOutputStream()
    counts = {"counts": json.dumps(found.counts._asdict())}
    for table in (found.ranked.replace_schema_metadata(counts), found.rejects):
        with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(compression="lz4")) as writer:
            writer.write_table(table)
    return sink.getvalue()


def decode_ranked(data: bytes) -> RankedBucket:
    """The arguments that encode_ranked was given."""
    source = pa.BufferReader(data)
    ranked, rejects = (pa.ipc.open_stream(source).read_all() for _ in range(2))
    counts = BucketCounts(**json.loads(ranked.schema.metadata[b"counts"]))
    return RankedBucket(ranked.replace_schema_metadata(None), rejects, counts)


@dataclass(frozen=True)
class GatherStretch:
    """The task of reading a stretch of the input, and putting the rows that are kept, by bucket."""

    kept: BucketReader
    fetch: CarriedFetcher
    merged: Folder
    buckets: int
    name: str
    file_bytes: int

    def __call__(self, stretch: int) -> dict[str, np.ndarray]:
        """The index of each file that was put, in the order of the input. A stretch whose list is there is not read."""
        listed = f"{self.name}-{stretch:06d}.json"
        if self.merged.size(listed) is not None:
            return {name: read_index(self.merged, name, self.buckets) for name in json.loads(self.merged.read(listed))}
        files: dict[str, np.ndarray] = {}
        for bucket, texts in self._read_pieces(self.kept.read(stretch).combine_chunks()):
            name = f"{self.name}-{stretch:06d}-{len(files):06d}.arrow"
            make = partial(encode_by_bucket, texts, bucket, self.buckets)
            files[name] = put_bucketed(self.merged, name, self.buckets, make)
        self.merged.put_new(listed, json.dumps([*files]).encode())
        return files

    def _read_pieces(self, kept: pa.Table) -> Iterator[tuple[np.ndarray, pa.Table]]:
        """The buckets and the carried columns of these rows, in the order of the input, file_bytes at a time."""
        kept = kept.take(np.argsort(number_rows(kept["file"].to_numpy(), kept["row"].to_numpy())))
        held: list[pa.Table] = []
        size = done = count = 0
        for texts in self.fetch.read_pieces(kept):
            held.append(texts)
            size, count = size + texts.nbytes, count + len(texts)
            if size >= self.file_bytes:
                yield kept["bucket"].to_numpy()[done:count], pa.concat_tables(held)
                held, size, done = [], 0, count
        if count > done:
            yield kept["bucket"].to_numpy()[done:], pa.concat_tables(held)


@dataclass(frozen=True)
class GatheredReader:
    """Reads the carried columns of a bucket's rows where they were put by bucket."""

    columns: BucketReader

    def __call__(self, bucket: int, rows: pa.Table) -> pa.Table:
        return self.columns.read(bucket)
