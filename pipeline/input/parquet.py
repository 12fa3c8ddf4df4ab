"""Reading Parquet from object storage with few requests and no wasted bytes.

pyarrow is handed a file whose bytes are fetched in ranges fixed beforehand: a few large ones that cover the columns
in use. Each range is fetched once, when it is first touched, and let go when all that is wanted of it was read, so
that even a row group larger than memory streams through.
"""

import io
from bisect import bisect_right
from collections.abc import Collection, Iterable, Iterator
from itertools import pairwise

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.errors import UsageError, one_line
from pipeline.storage.urls import fetch, fetch_known

SPLIT_BYTES = 256 * 2**20  # decoded bytes of the columns in use that one read task brings
WASTE = 0.2  # bytes of columns not in use, as a share of those in use, that may be fetched to save requests
TAIL_SHARE, TAIL_MIN, TAIL_MAX = 1 / 32, 16 * 1024, 64 * 1024  # of a file: a first guess at its footer's size

Range = tuple[int, int]


def read_footer(path: str, size: int) -> tuple[pq.FileMetaData, int]:
    """The footer of a Parquet file and the offset where it begins, in one request (two where it is large).

    Raises pa.ArrowInvalid where the file is not Parquet.
    """
    start = max(0, size - min(max(int(size * TAIL_SHARE), TAIL_MIN), TAIL_MAX))
    tail = fetch(path, start, size) if size else b""
    if len(tail) < 12 or tail[-4:] != b"PAR1":
        kind = "encrypted" if tail[-4:] == b"PARE" else "not a Parquet file, or one cut short"
        raise pa.ArrowInvalid(f"{kind} ({size} bytes)")
    begin = size - 8 - int.from_bytes(tail[-8:-4], "little")
    if begin < 4:
        raise pa.ArrowInvalid("not a Parquet file, or one cut short: its footer is longer than the file")
    if begin < start:
        tail = fetch(path, begin, start) + tail
        start = begin
    footer = _parse_footer(tail[begin - start :])
    if footer.serialized_size < size - 8 - begin:  # behind a footer in plain text, where columns are encrypted
        raise pa.ArrowInvalid(f"encrypted ({size} bytes): its footer is signed")
    if footer.num_row_groups:
        last = footer.row_group(footer.num_row_groups - 1)
        ends = [_extent(last.column(i))[1] for i in range(last.num_columns)]
        if max(ends, default=0) > begin:
            raise pa.ArrowInvalid(
                "bytes are missing from the middle of the file: its footer tells of more than there are"
            )
    return footer, begin


def _parse_footer(tail: bytes) -> pq.FileMetaData:
    """`tail`: a file's bytes from where its footer begins."""
    try:  # pyarrow wants the magic number that a file begins with, too
        return pq.read_metadata(pa.BufferReader(b"PAR1" + tail))
    except OSError as error:  # so it calls a footer that is no Thrift
        raise pa.ArrowInvalid(f"not a Parquet file: {error}") from None


def in_use(chunk: pq.ColumnChunkMetaData, columns: Collection[str]) -> bool:
    """Whether a column chunk belongs to one of the columns (top-level names, which may hold dots)."""
    return chunk.path_in_schema in columns or chunk.path_in_schema.split(".")[0] in columns


def decoded_bytes(footer: pq.FileMetaData, row_groups: Iterable[int], columns: Collection[str]) -> int:
    """Bytes of these columns in these row groups, decompressed."""
    groups = (footer.row_group(number) for number in row_groups)
    chunks = (group.column(i) for group in groups for i in range(group.num_columns))
    return sum(chunk.total_uncompressed_size for chunk in chunks if in_use(chunk, columns))


def _extent(chunk: pq.ColumnChunkMetaData) -> Range:
    start = chunk.data_page_offset
    if chunk.has_dictionary_page and chunk.dictionary_page_offset:
        start = min(start, chunk.dictionary_page_offset)
    return start, start + chunk.total_compressed_size


def chunk_ranges(footer: pq.FileMetaData, row_groups: range, columns: list[str]) -> list[Range]:
    """Where the bytes of the columns (top-level names) lie in the file, one range per column chunk."""
    groups = [footer.row_group(number) for number in row_groups]
    chunks = (group.column(i) for group in groups for i in range(group.num_columns))
    return sorted(_extent(chunk) for chunk in chunks if in_use(chunk, columns))


def plan_ranges(chunks: list[Range], footer: Range, decoded_bytes: int) -> list[Range]:
    """The ranges to fetch for a split: its column chunks and the file's footer.

    A split within SPLIT_BYTES takes as few ranges as WASTE allows: one where the columns in use lie side by side, one
    more for each wide column that parts them. A larger one (a single huge row group) takes windows of its chunks, so
    many that at most four requests are made for each SPLIT_BYTES, the footer and what planning took among them.
    """
    shares = -(-decoded_bytes // SPLIT_BYTES)
    if shares <= 1:
        return _merge([*chunks, footer])
    allowed = 4 * shares - 3  # besides this footer, the listing and the footer when planning
    total = sum(stop - start for start, stop in chunks)
    for parts in range(allowed, 0, -1):
        windows = _windows(chunks, -(-total // parts))
        if len(windows) <= allowed:
            break
    return [*windows, footer]


def _windows(chunks: list[Range], window: int) -> list[Range]:
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
    """Closes the smallest gaps first, as long as the bytes in them stay below WASTE."""
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
    path: str, size: int, ranges: list[Range], row_groups: range, columns: list[str], batch_rows: int
) -> Iterator[pa.RecordBatch]:
    """Record batches of at most `batch_rows` rows, in the order of the file.

    Raises UsageError naming file, row group and column where the bytes cannot be decoded, and RunError where they
    cannot be had.
    """
    source = _RangeFile(path, size, ranges)
    try:
        footer = source.footer()  # pyarrow itself would read the last 64 KiB, whatever lies there
    except pa.ArrowInvalid as error:
        raise UsageError(f"{path}: its footer cannot be decoded: {one_line(error)}") from None
    source.expect(chunk_ranges(footer, row_groups, columns))
    file = pq.ParquetFile(
        pa.PythonFile(source, mode="r"),
        metadata=footer,
        pre_buffer=False,
        buffer_size=2**20,
        page_checksum_verification=True,  # of writers that put one, as Spark's does
    )
    try:
        yield from file.iter_batches(batch_rows, row_groups=list(row_groups), columns=columns, use_threads=False)
    except pa.ArrowMemoryError:
        raise  # it says nothing of the file
    except (pa.ArrowException, OSError) as error:
        raise UsageError(f"{path}: {_damaged(file, row_groups, columns)}: {one_line(error)}") from None


def _damaged(file: pq.ParquetFile, row_groups: range, columns: list[str]) -> str:
    """Where the bytes that cannot be decoded are, in words."""
    for group in row_groups:
        for column in columns:
            try:
                for _ in file.iter_batches(row_groups=[group], columns=[column], use_threads=False):
                    pass
            except (pa.ArrowException, OSError):
                return f"column {column!r} cannot be decoded in row group {group}"
    return "cannot be decoded"


class _RangeFile(io.RawIOBase):
    """A read-only file over ranges, each fetched when it is first touched and kept until it was read.

    What is read outside of them is fetched as it is asked for.
    """

    def __init__(self, path: str, size: int, ranges: list[Range]):
        self._path, self._size, self._ranges = path, size, ranges
        self._at = 0
        self._held: dict[Range, memoryview] = {}
        self._ends: dict[Range, list[int]] = {}  # of the chunks, or parts of them, that lie in a range
        self._unread: dict[Range, set[int]] = {}

    def footer(self) -> pq.FileMetaData:
        self.seek(-8, io.SEEK_END)
        self.seek(-8 - int.from_bytes(self.read(4), "little"), io.SEEK_END)
        return _parse_footer(self.read())

    def expect(self, chunks: list[Range]) -> None:
        """Says what will be read, each chunk once and from its start: a range is let go with its last chunk."""
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
            piece = self._piece(stop)
            pieces.append(piece)
            self._at += len(piece)
        return b"".join(pieces)

    def _piece(self, stop: int) -> memoryview:
        """Bytes from the current position to `stop`, or to the end of their range if that comes first."""
        for begin, end in self._ranges:
            if begin <= self._at < end:
                break
        else:  # e.g. the gap a writer left behind a dictionary page: rare, small, and fetched as it is asked for
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
        return memoryview(fetch_known(self._path, start, stop))
