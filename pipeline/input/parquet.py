"""Reading Parquet from object storage with few requests and no wasted bytes.

pyarrow reads through a file object that fetches a few large ranges, fixed beforehand, which cover the columns in use.
Each range is fetched once, at the first read in it, and freed when all its columns have been read, so that even a row
group larger than memory streams through.
"""

import hashlib
import io
import re
from bisect import bisect_right
from collections.abc import Collection, Iterable, Iterator
from itertools import pairwise

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.errors import UsageError, one_line
from pipeline.input.shown import Shown, view_footer
from pipeline.sizes import Sizes
from pipeline.storage.exact import make_changed_error
from pipeline.storage.urls import fetch, fetch_listed

SPLIT_BYTES = Sizes.split_bytes
WASTE = 0.2  # bytes of columns not in use, as a share of those in use, that may be fetched to save requests
TAIL_SHARE, TAIL_MIN, TAIL_MAX = 1 / 32, 16 * 1024, 64 * 1024  # first guess at a footer's size, as a share of the file

HASHED = re.compile(r"-?[0-9.]*\+([0-9a-f]{16})")  # a version that has a hash of the footer

Range = tuple[int, int]


def read_footer(path: str, size: int, version: str = "") -> tuple[pq.FileMetaData, int]:
    """The footer of a Parquet file and the offset where it begins, in one request (two where it is large).

    Raises pa.ArrowInvalid where the file is not Parquet.
    """
    data = read_footer_bytes(path, size, version)
    begin = size - len(data)
    footer = _parse_footer(data)
    if footer.serialized_size < len(data) - 8:  # a signature follows a plain footer over encrypted columns
        raise pa.ArrowInvalid(f"encrypted ({size} bytes): its footer is signed")
    if footer.num_row_groups:
        last = footer.row_group(footer.num_row_groups - 1)
        ends = [_find_extent(last.column(i))[1] for i in range(last.num_columns)]
        if max(ends, default=0) > begin:
            raise pa.ArrowInvalid(
                "bytes are missing from the middle of the file: its footer tells of more than there are"
            )
    return footer, begin


def read_footer_bytes(path: str, size: int, version: str = "") -> bytes:
    """A Parquet file from where its footer begins to its end. Raises pa.ArrowInvalid where the file is not Parquet, and
    RunError where its version has the hash of another footer."""
    start = max(0, size - min(max(int(size * TAIL_SHARE), TAIL_MIN), TAIL_MAX))
    tail = fetch(path, start, size, version=version) if size else b""
    if len(tail) < 12 or tail[-4:] != b"PAR1":
        kind = "encrypted" if tail[-4:] == b"PARE" else "not a Parquet file, or one cut short"
        raise pa.ArrowInvalid(f"{kind} ({size} bytes)")
    begin = size - 8 - int.from_bytes(tail[-8:-4], "little")
    if begin < 4:
        raise pa.ArrowInvalid("not a Parquet file, or one cut short: its footer is longer than the file")
    if begin < start:
        tail = fetch(path, begin, start, version=version) + tail
        start = begin
    footer = tail[begin - start :]
    _check_footer(path, footer, version)
    return footer


def hash_footer(footer: bytes) -> str:
    """A hash of a footer, for versions (pipeline/input/versions.py). footer: as read_footer_bytes gives it."""
    return hashlib.sha256(footer).hexdigest()[:16]


def _check_footer(path: str, footer: bytes, version: str) -> None:
    if (found := HASHED.fullmatch(version)) and hash_footer(footer) != found[1]:
        raise make_changed_error(path)


def _parse_footer(tail: bytes) -> pq.FileMetaData:
    """tail: a file's bytes from where its footer begins."""
    try:  # pyarrow expects the magic number at the file's start, too
        return pq.read_metadata(pa.BufferReader(b"PAR1" + tail))
    except OSError as error:  # pyarrow's error for a footer that is not Thrift
        raise pa.ArrowInvalid(f"not a Parquet file: {error}") from None


def is_in_use(chunk: pq.ColumnChunkMetaData, columns: Collection[str]) -> bool:
    """Whether a column chunk belongs to one of the columns (top-level names, which may hold dots)."""
    return chunk.path_in_schema in columns or chunk.path_in_schema.split(".")[0] in columns


def count_decoded_bytes(footer: pq.FileMetaData, row_groups: Iterable[int], columns: Collection[str]) -> int:
    """Decompressed bytes of these columns in these row groups."""
    groups = (footer.row_group(number) for number in row_groups)
    chunks = (group.column(i) for group in groups for i in range(group.num_columns))
    return sum(chunk.total_uncompressed_size for chunk in chunks if is_in_use(chunk, columns))


def _find_extent(chunk: pq.ColumnChunkMetaData) -> Range:
    start = chunk.data_page_offset
    if chunk.has_dictionary_page and chunk.dictionary_page_offset:
        start = min(start, chunk.dictionary_page_offset)
    return start, start + chunk.total_compressed_size


def list_chunk_ranges(footer: pq.FileMetaData, row_groups: range, columns: list[str]) -> list[Range]:
    """The byte ranges of the columns (top-level names), one for each column chunk, in the file's order."""
    groups = [footer.row_group(number) for number in row_groups]
    chunks = (group.column(i) for group in groups for i in range(group.num_columns))
    return sorted(_find_extent(chunk) for chunk in chunks if is_in_use(chunk, columns))


def plan_ranges(chunks: list[Range], footer: Range, decoded_bytes: int, split_bytes: int = SPLIT_BYTES) -> list[Range]:
    """The ranges to fetch for a split: its column chunks and the file's footer.

    A split within `split_bytes` takes as few ranges as WASTE allows: one where the columns in use lie side by side, and
    one more for each wide column between them. A larger split (a single huge row group) takes windows of its chunks: as
    many as keep the requests for each `split_bytes` at four or fewer, counting the footer and those of planning.
    """
    shares = -(-decoded_bytes // split_bytes)
    if shares <= 1:
        return _merge([*chunks, footer])
    allowed = 4 * shares - 3  # besides this footer, the listing and the footer when planning
    total = sum(stop - start for start, stop in chunks)
    for parts in range(allowed, 0, -1):
        windows = _cut_windows(chunks, -(-total // parts))
        if len(windows) <= allowed:
            break
    return [*windows, footer]


def _cut_windows(chunks: list[Range], window: int) -> list[Range]:
    """The chunks cut into ranges of at most `window` bytes; small chunks side by side share one."""
    windows: list[Range] = []
    for begin, end in chunks:
        for start in range(begin, end, window):
            stop = min(start + window, end)
            if windows and windows[-1][1] == start and stop - windows[-1][0] <= window:
                windows[-1] = (windows[-1][0], stop)
            else:
                windows.append((start, stop))
    return windows


def _merge(ranges: list[Range]) -> list[Range]:
    """Closes gaps between ranges, the smallest first, as long as the bytes in them stay within WASTE."""
    ranges = sorted(ranges)
    spare = WASTE * sum(stop - start for start, stop in ranges)
    gaps = sorted((after[0] - before[1], i) for i, (before, after) in enumerate(pairwise(ranges)))
    closed = set()
    for gap, i in gaps:
        if gap <= spare:
            spare -= gap
            closed.add(i)
    merged = [ranges[0]]
    for i, (start, stop) in enumerate(ranges[1:]):
        if i in closed:
            merged[-1] = (merged[-1][0], stop)
        else:
            merged.append((start, stop))
    return merged


def read_batches(
    path: str,
    size: int,
    ranges: list[Range],
    row_groups: range,
    columns: list[str],
    batch_rows: int,
    version: str = "",
    shown: Shown | None = None,
) -> Iterator[pa.RecordBatch]:
    """Record batches of at most `batch_rows` rows, in the order of the file.

    version: as the file was listed; empty where it does not matter. shown: what its table says of it: the columns are
    those of the table then, deleted rows are there, too.

    Raises UsageError naming file, row group and column where the bytes cannot be decoded, and RunError where they
    cannot be had.
    """
    source = _RangeFile(path, size, ranges, version)
    try:
        footer = source.read_footer()  # pyarrow itself would always read the last 64 KiB
    except pa.ArrowInvalid as error:
        raise UsageError(f"{path}: its footer cannot be decoded: {one_line(error)}") from None
    view = None if shown is None else view_footer(path, shown, footer)
    stored = columns if view is None else view.list_stored(columns)
    source.expect(list_chunk_ranges(footer, row_groups, stored))
    file = pq.ParquetFile(
        pa.PythonFile(source, mode="r"),
        metadata=footer,
        pre_buffer=False,
        buffer_size=2**20,
        page_checksum_verification=True,  # Spark, among others, writes checksums
    )
    try:
        for batch in file.iter_batches(batch_rows, row_groups=list(row_groups), columns=stored, use_threads=False):
            yield batch if view is None else view.show(batch, columns)
    except pa.ArrowMemoryError:
        raise  # not the file's fault
    except (pa.ArrowException, OSError) as error:
        raise UsageError(f"{path}: {_locate_damage(file, row_groups, stored)}: {one_line(error)}") from None
    if HASHED.fullmatch(version):  # the footer may have been read before the file changed
        read_footer_bytes(path, size, version)


def _locate_damage(file: pq.ParquetFile, row_groups: range, columns: list[str]) -> str:
    """Names the first column and row group that cannot be decoded."""
    for group in row_groups:
        for column in columns:
            try:
                for _ in file.iter_batches(row_groups=[group], columns=[column], use_threads=False):
                    pass
            except (pa.ArrowException, OSError):
                return f"column {column!r} cannot be decoded in row group {group}"
    return "cannot be decoded"


class _RangeFile(io.RawIOBase):
    """A read-only file over ranges, each fetched at the first read in it and kept until all of it has been read.

    Bytes outside the ranges are fetched as they are requested.
    """

    def __init__(self, path: str, size: int, ranges: list[Range], version: str = ""):
        self._path, self._size, self._ranges, self._version = path, size, ranges, version
        self._at = 0
        self._held: dict[Range, memoryview] = {}
        self._ends: dict[Range, list[int]] = {}  # range -> where the chunks in it end
        self._unread: dict[Range, set[int]] = {}

    def read_footer(self) -> pq.FileMetaData:
        self.seek(-8, io.SEEK_END)
        self.seek(-8 - int.from_bytes(self.read(4), "little"), io.SEEK_END)
        footer = self.read()
        _check_footer(self._path, footer, self._version)
        return _parse_footer(footer)

    def expect(self, chunks: list[Range]) -> None:
        """Announces the chunks that will be read, each once and from its start: a range is freed after its last one."""
        for begin, end in self._ranges:
            ends = {min(stop, end) for start, stop in chunks if start < end and begin < stop}
            self._ends[begin, end], self._unread[begin, end] = sorted(ends), ends
            if not ends:
                self._held.pop((begin, end), None)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        return self._at

    def tell(self) -> int:
        return self._at

    def size(self) -> int:
        return self._size

    def read(self, length: int = -1) -> bytes:
        stop = self._size if length < 0 else min(self._at + length, self._size)
        pieces = []
        while self._at < stop:
            piece = self._read_piece(stop)
            pieces.append(piece)
            self._at += len(piece)
        return b"".join(pieces)

    def _read_piece(self, stop: int) -> memoryview:
        """Bytes from the current position to `stop`, or to the end of their range if that comes first."""
        for begin, end in self._ranges:
            if begin <= self._at < end:
                break
        else:  # e.g. the gap that a writer left after a dictionary page: rare and small
            ahead = [begin for begin, _ in self._ranges if begin > self._at]
            return self._fetch(self._at, min([stop, *ahead]))
        if (begin, end) not in self._held:
            self._held[begin, end] = self._fetch(begin, end)
        piece = self._held[begin, end][self._at - begin : stop - begin]
        if unread := self._unread.get((begin, end)):
            ends = self._ends[begin, end]
            unread -= {*ends[bisect_right(ends, self._at) : bisect_right(ends, self._at + len(piece))]}
            if not unread:
                del self._held[begin, end]
        return piece

    def _fetch(self, start: int, stop: int) -> memoryview:
        return memoryview(fetch_listed(self._path, start, stop, self._version))
