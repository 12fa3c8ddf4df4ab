"""The lines of a range of a text's bytes, block by block: those that begin in it, whole.

So a task reads its piece of a file of any length, and no line is read by two tasks or by none.
"""

import io
from collections.abc import Iterator

import pyarrow as pa

from pipeline.errors import UsageError, one_line
from pipeline.input.encodings import check_utf8
from pipeline.prepare.sizes import Sizes
from pipeline.prepare.sources import Source
from pipeline.storage.urls import fetch_listed

BOM = b"\xef\xbb\xbf"


def read_blocks(source: Source, start: int, stop: int, sizes: Sizes = Sizes()) -> Iterator[tuple[int, list[bytes]]]:
    """Lines, without their ends, and the byte at which the first of them begins.

    Raises UsageError where the file begins as a text that is not UTF-8.
    """
    at, held = 0 if source.compression else max(start - 1, 0), b""
    skip = start > 0  # to the end of the line that has the byte before `start`
    for chunk in _read_chunks(source, at, stop, sizes):
        if not at and not held:
            check_utf8(source.path, chunk)
            if chunk.startswith(BOM):
                at, chunk = len(BOM), chunk[len(BOM) :]
        held += chunk
        if skip:
            first = held.find(b"\n") + 1
            if not first:
                at, held = at + len(held), b""
                continue
            at, held, skip = at + first, held[first:], False
        if at >= stop:
            return
        end = held.rfind(b"\n") + 1
        over = at + end >= stop
        if over:
            end = held.index(b"\n", stop - 1 - at) + 1
        if end:
            yield at, held[: end - 1].split(b"\n")
        at, held = at + end, held[end:]
        if over:
            return
    if held and not skip:
        yield at, [held]


def read_first_line(source: Source, sizes: Sizes = Sizes()) -> bytes:
    """The first line of a text, as it stands there, without its end. Raises UsageError for one that is not UTF-8."""
    head = b""
    for chunk in _read_chunks(source, 0, sizes.line_end_bytes, sizes):
        head += chunk
        if b"\n" in head:
            break
    check_utf8(source.path, head)
    return head.partition(b"\n")[0]


def find_line_number(source: Source, at: int, sizes: Sizes = Sizes()) -> int:
    """The number, from 1, of the line that begins at this byte. It reads all that comes before."""
    lines = 0
    for chunk in _read_chunks(source, 0, at, sizes):
        lines += chunk[:at].count(b"\n")
        at -= len(chunk)
        if at <= 0:
            break
    return lines + 1


def _read_chunks(source: Source, start: int, stop: int, sizes: Sizes) -> Iterator[bytes]:
    """The text's bytes from `start` to its end: large ones up to `stop`, small ones behind it."""
    if not source.compression:
        while start < source.size:
            end = min(start + sizes.window_bytes, max(stop, start + sizes.line_end_bytes), source.size)
            yield fetch_listed(source.path, start, end)
            start = end
        return
    stream = pa.CompressedInputStream(pa.PythonFile(_Windows(source, sizes.window_bytes), mode="r"), source.compression)
    try:
        while chunk := stream.read(sizes.window_bytes):
            yield chunk
    except OSError as error:  # pyarrow's own: what the store says is a StoreError
        raise UsageError(f"{source.path}: cannot be unpacked as {source.compression}: {one_line(error)}") from None


class _Windows(io.RawIOBase):
    """A file from its beginning to its end, fetched a window at a time."""

    def __init__(self, source: Source, window_bytes: int):
        self._source, self._window_bytes, self._at, self._held = source, window_bytes, 0, io.BytesIO()

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        data = self._held.read(size)
        if not data and self._at < self._source.size:
            end = min(self._at + self._window_bytes, self._source.size)
            self._held = io.BytesIO(fetch_listed(self._source.path, self._at, end))
            self._at = end
            data = self._held.read(size)
        return data
