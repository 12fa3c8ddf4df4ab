"""Files whose rows lie by bucket: reading a bucket takes one range of bytes of each file, and nothing else.

A file is an Arrow IPC stream with one record batch for each bucket that has rows. Behind it stands its index, which
says at which byte each bucket begins and where the last one ends.
"""

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from pipeline.errors import make_gone_error
from pipeline.storage.folder import Folder

COMPRESSION = "lz4"
INDEX = np.dtype("<i8")


def hash_crc32(ids: pa.Array | pa.ChunkedArray) -> np.ndarray:
    """The CRC-32 of each id, as uint32; a null has that of the empty one, which is 0."""
    coded = pa.chunked_array(ids).combine_chunks().dictionary_encode(null_encoding="encode")
    numbers = [zlib.crc32((value or "").encode()) for value in coded.dictionary.to_pylist()]
    return np.array(numbers, dtype=np.uint32)[coded.indices.to_numpy()] if len(coded) else np.zeros(0, np.uint32)


def find_buckets(ids: pa.Array | pa.ChunkedArray, buckets: int) -> np.ndarray:
    """The bucket of each row: the hash of its id modulo their number; a null id goes to bucket 0."""
    return hash_crc32(ids).astype(np.int64) % buckets


def encode_by_bucket(rows: pa.Table, bucket: np.ndarray, buckets: int) -> tuple[pa.Buffer, np.ndarray]:
    """A file of these rows, and its index (int64, one more than `buckets`). Inside a bucket they keep their order."""
    small = bucket.astype(np.min_scalar_type(buckets))  # numpy sorts 16 bits by radix
    rows = rows.combine_chunks().take(np.argsort(small, kind="stable"))
    batch = pa.RecordBatch.from_arrays([column.combine_chunks() for column in rows.columns], schema=rows.schema)
    index = [rows.schema.serialize().size]  # a stream begins with its schema
    start = 0
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema, options=pa.ipc.IpcWriteOptions(compression=COMPRESSION)) as writer:
        for count in np.bincount(bucket, minlength=buckets).tolist():
            if count:
                writer.write_batch(batch.slice(start, count))
            index.append(sink.tell() if start + count else index[0])
            start += count
    sink.write(np.array(index, INDEX))
    return sink.getvalue(), np.array(index, dtype=np.int64)


def put_bucketed(
    folder: Folder, name: str, buckets: int, make: Callable[[], tuple[pa.Buffer, np.ndarray]]
) -> np.ndarray:
    """The index of the file of that name; the file is made and put unless it is there."""
    size = folder.size(name)
    if size is None:
        data, index = make()
        if folder.put_new(name, data):
            return index
    return read_index(folder, name, buckets, size)


def read_index(folder: Folder, name: str, buckets: int, size: int | None = None) -> np.ndarray:
    """The index that stands behind a file. size: of the file, where it is known."""
    size = size or folder.sizes([name], {})[name]
    (read,) = folder.read_ranges([(name, size - INDEX.itemsize * (buckets + 1), size)])
    return np.frombuffer(read, INDEX)


@dataclass(frozen=True)
class BucketReader:
    """Bucketed files of one schema. index: name -> that of the file, in the order in which rows are wanted. first:
    name -> the bucket at which its index begins, where that is not 0."""

    folder: Folder
    index: dict[str, np.ndarray]
    schema: pa.Schema
    first: dict[str, int] = field(default_factory=dict)

    def read(self, *buckets: int) -> pa.Table:
        """The rows of these buckets, one after the other. Raises RunError where a file has gone."""
        try:
            pieces = self.folder.read_ranges([part for bucket in buckets for part in self._ranges(bucket)])
        except FileNotFoundError as error:
            raise make_gone_error(error) from None
        batches = [pa.ipc.read_record_batch(pa.ipc.read_message(piece), self.schema) for piece in pieces]
        return pa.Table.from_batches(batches, self.schema)

    def _ranges(self, bucket: int) -> Sequence[tuple[str, int, int]]:
        places = ((name, bucket - self.first.get(name, 0), at) for name, at in self.index.items())
        found = [(name, int(at[i]), int(at[i + 1])) for name, i, at in places if 0 <= i < len(at) - 1]
        return [(name, start, stop) for name, start, stop in found if start < stop]
