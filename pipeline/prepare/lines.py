"""The lines of a range of a text's bytes, block by block: those that begin in it, whole.

A task so reads its part of a file of any length, and no line is read by two tasks or by none.
"""

import io
from collections.abc import Iterator

import pyarrow as pa

from pipeline.errors import UsageError, one_line
from pipeline.prepare.sources import Source
from pipeline.storage.urls import fetch_known

WINDOW = 8 * 2**20  # bytes read at once
BEYOND = 2**16  # bytes read at once behind the range, for the end of its last line
BOM = b"\xef\xbb\xbf"


def blocks(source: Source, start: int, stop: int) -> Iterator[tuple[int, list[bytes]]]:
    """Lines, without their ends, and the byte at which the first of them begins."""
    at, held = 0 if source.compression else max(start - 1, 0), b""
    skip = start > 0  # to the end of the line that has the byte before `start`
    for chunk in _chunks(source, at, stop):
        if not at and not held and chunk.startswith(BOM):
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


def first_line(source: Source) -> bytes:
    """The first line of a text, as it stands there, without its end."""
    head = b""
    for chunk in _chunks(source, 0, BEYOND):
        head += chunk
        if b"\n" in head:
            break
    return head.partition(b"\n")[0]


def line_number(source: Source, at: int) -> int:
    """The number, from 1, of the line that begins at this byte. It reads all that comes before."""
    lines = 0
    for chunk in _chunks(source, 0, at):
        lines += chunk[:at].count(b"\n")
        at -= len(chunk)
        if at <= 0:
            break
    return lines + 1


def _chunks(source: Source, start: int, stop: int) -> Iterator[bytes]:
    """The text's bytes from `start` to its end: large ones up to `stop`, small ones behind it."""
    if not source.compression:
        while start < source.size:
            end = min(start + WINDOW, max(stop, start + BEYOND), source.size)
            yield fetch_known(source.path, start, end)
            start = end
        return
    stream = pa.CompressedInputStream(pa.PythonFile(_Windows(source), mode="r"), source.compression)
    try:
        while chunk := stream.read(WINDOW):
            yield chunk
    except OSError as error:  # pyarrow's own: what the store says is a StoreError
        raise UsageError(f"{source.path}: cannot be unpacked as {source.compression}: {one_line(error)}") from None


class _Windows(io.RawIOBase):
    """A file from its beginning to its end, fetched a window at a time."""

    def __init__(self, source: Source):
        self._source, self._at, self._held = source, 0, io.BytesIO()

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        data = self._held.read(size)
        if not data and self._at < self._source.size:
            end = min(self._at + WINDOW, self._source.size)
            self._held = io.BytesIO(fetch_known(self._source.path, self._at, end))
            self._at = end
            data = self._held.read(size)
        return data
