"""Sources -> pieces: what one task reads of a run, the queries or the corpus.

A piece of a text is a range of its bytes, and has the lines that begin in it; a compressed text is one piece, for it
can only be read from its start. A piece of a Parquet file is whole row groups.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain
from typing import Any

from pipeline.errors import UsageError
from pipeline.input.columns import check_schema
from pipeline.input.footers import FOOTER_THREADS, file_footer, splits
from pipeline.input.listing import InputFile
from pipeline.input.parquet import Range, chunk_ranges, plan_ranges
from pipeline.prepare.formats import FORMATS, KINDS, TABS, keys_of, named
from pipeline.prepare.lines import BOM, first_line
from pipeline.prepare.sources import Source

PIECE_BYTES = 128 * 2**20
ROW_BYTES = 32  # of a row in Parquet, at least: a dictionary may make its ids small there
COMPRESSED = 4  # how much longer a compressed text is taken to be


@dataclass(frozen=True)
class Piece:
    """columns: as its format's reader takes them; of Parquet name -> column. start, stop: bytes of a text, or row
    groups. ranges: of the bytes of a Parquet piece. decoded: bytes it comes to, about."""

    source: Source
    columns: Any
    start: int
    stop: int
    decoded: int
    ranges: tuple[Range, ...] = ()


def cut(files: list[Source], given: dict[str, str]) -> list[Piece]:
    """The pieces of these files, in their order. given: the columns that the user named.

    Raises UsageError naming the first file that cannot be used.
    """
    pool = ThreadPoolExecutor(FOOTER_THREADS)
    try:
        return list(chain.from_iterable(pool.map(lambda source: list(_cut(source, given)), files)))
    finally:
        pool.shutdown(cancel_futures=True)


def _cut(source: Source, given: dict[str, str]) -> Iterator[Piece]:
    if source.format == "parquet":
        yield from _row_groups(source, given)
        return
    if not source.size:  # a part of a corpus may be empty
        return
    start, columns = 0, _columns(source, given)
    if columns is None:  # the first line names them
        start, columns = _header(source, given)
    if source.compression:
        yield Piece(source, columns, start, 2**62, source.size * COMPRESSED)
        return
    for first in range(start, source.size, PIECE_BYTES):
        stop = min(first + PIECE_BYTES, source.size)
        yield Piece(source, columns, first, stop, stop - first)


def _columns(source: Source, given: dict[str, str]) -> Any:
    """The columns of a text, or None where its first line is to name them."""
    format = FORMATS[source.kind][source.format]
    if format.read is not TABS and not format.layouts:
        return {name: keys_of(source.kind, name, given) for name in KINDS[source.kind]}
    if len(format.layouts) < 2:
        return next(iter(format.layouts), None)
    width = len(first_line(source).split(b"\t"))
    fitting = [layout for layout in format.layouts if len(layout) == width]
    if not fitting:
        widths = " or ".join(str(len(layout)) for layout in format.layouts)
        raise UsageError(f"{source.path}: line 1: has {width} columns, not {widths}")
    return fitting[0]


def _header(source: Source, given: dict[str, str]) -> tuple[int, tuple[str, ...]]:
    """Where the second line begins, and the names of the columns."""
    line = first_line(source)
    there = line.removeprefix(BOM).removesuffix(b"\r").decode("utf-8", "replace").split("\t")
    try:
        names = {column: name for name, column in named(source.kind, source.path, there, given).items()}
    except UsageError as error:
        raise UsageError(f"{error}; MS MARCO's three columns without a header are --run-format msmarco") from None
    return len(line) + 1, tuple(names.get(column, "") for column in there)


def _row_groups(source: Source, given: dict[str, str]) -> Iterator[Piece]:
    footer, begin = file_footer(InputFile(source.path, source.size, ""))
    schema = footer.schema.to_arrow_schema()
    columns = named(source.kind, source.path, schema.names, given)
    check_schema(source.path, schema, columns, "--column ")
    for _, groups, decoded in splits(footer, columns):
        ranges = plan_ranges(chunk_ranges(footer, groups, list(columns.values())), (begin, source.size), decoded)
        rows = sum(footer.row_group(group).num_rows for group in groups)
        yield Piece(source, columns, groups[0], groups[-1] + 1, max(decoded, rows * ROW_BYTES), tuple(ranges))
