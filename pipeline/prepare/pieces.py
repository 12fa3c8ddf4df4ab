"""Sources -> pieces: the part of a run, the queries or the corpus that one task reads.

A piece of a text is a range of its bytes, and has the lines that begin in it; a compressed text is one piece, for it
can only be read from its start. A piece of a Parquet file is whole row groups.
"""

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import pyarrow.types as pt

from pipeline.errors import UsageError
from pipeline.input.columns import check_schema
from pipeline.input.footers import FOOTER_THREADS, read_file_footer
from pipeline.input.listing import InputFile
from pipeline.input.match import Usual
from pipeline.input.parquet import Range, list_chunk_ranges, plan_ranges
from pipeline.plan.splits import join_groups, select_row_groups
from pipeline.prepare.formats import FORMATS, TABS, find_columns, list_usual_names
from pipeline.prepare.lines import BOM, read_first_line
from pipeline.prepare.sizes import Sizes
from pipeline.prepare.sources import Source

MIN_ROW_BYTES = 32  # of a row in Parquet, at least: a dictionary may make its ids small there
COMPRESSION_FACTOR = 4  # how much longer a compressed text is taken to be


@dataclass(frozen=True)
class Piece:
    """columns: as its format's reader takes them; of Parquet name -> column. start, stop: bytes of a text, or row
    groups. ranges: of the bytes of a Parquet piece, and first_row: its first in the file. decoded: its bytes in memory,
    about. taken: name -> column, where the file says once for all rows which columns it has."""

    source: Source
    columns: Any
    start: int
    stop: int
    decoded: int
    ranges: tuple[Range, ...] = ()
    taken: dict[str, str] = field(default_factory=dict)
    first_row: int = 0


def cut_pieces(files: list[Source], given: dict[str, str], sizes: Sizes = Sizes()) -> list[Piece]:
    """The pieces of these files, in their order. given: the columns that the user named.

    Raises UsageError naming the first file that cannot be used.
    """
    pool = ThreadPoolExecutor(FOOTER_THREADS)
    try:
        return list(chain.from_iterable(pool.map(lambda source: list(_cut_file(source, given, sizes)), files)))
    finally:
        pool.shutdown(cancel_futures=True)


def _cut_file(source: Source, given: dict[str, str], sizes: Sizes) -> Iterator[Piece]:
    if source.format == "parquet":
        yield from _cut_row_groups(source, given, sizes)
        return
    if not source.size:  # a part of a corpus may be empty
        return
    start, columns, taken = 0, _choose_columns(source, given), dict[str, str]()
    if columns is None:  # the first line names them
        start, columns, taken = _read_header(source, given)
    if source.compression:
        yield Piece(source, columns, start, 2**62, source.size * COMPRESSION_FACTOR, taken=taken)
        return
    for first in range(start, source.size, sizes.piece_bytes):
        stop = min(first + sizes.piece_bytes, source.size)
        yield Piece(source, columns, first, stop, stop - first, taken=taken)


def _choose_columns(source: Source, given: dict[str, str]) -> Any:
    """The columns of a text, or None where its first line is to name them."""
    format = FORMATS[source.kind][source.format]
    if format.read is not TABS and not format.layouts:
        return list_usual_names(source.kind, given)
    if source.format != "tsv":
        return next(iter(format.layouts), None)
    cells = _split_header(read_first_line(source))
    if not format.layouts or _are_names(cells, list_usual_names(source.kind, given)):
        return None
    width = len(cells)
    fitting = [layout for layout in format.layouts if len(layout) == width]
    if not fitting:
        widths = " or ".join(str(len(layout)) for layout in format.layouts)
        raise UsageError(f"{source.path}: line 1: has {width} columns, not {widths}")
    return fitting[0]


def _are_names(cells: list[str], usual: Mapping[str, Usual]) -> bool:
    """Whether a line names columns: a usual name is in it for everything that a row must have."""
    return all({*cells} & {*name.columns, *name.fallback} for name in usual.values() if not name.optional)


def _split_header(line: bytes) -> list[str]:
    return line.removeprefix(BOM).removesuffix(b"\r").decode("utf-8", "replace").split("\t")


def _read_header(source: Source, given: dict[str, str]) -> tuple[int, tuple[str, ...], dict[str, str]]:
    """Where the second line begins; the name of each column, empty for others; and name -> column."""
    line = read_first_line(source)
    there = _split_header(line)
    try:
        taken = find_columns(source.kind, source.path, there, given)
    except UsageError as error:
        if source.kind != "run":
            raise
        raise UsageError(f"{error}; MS MARCO's three columns without a header are --run-format msmarco") from None
    names = {column: name for name, column in taken.items()}
    return len(line) + 1, tuple(names.get(column, "") for column in there), taken


def _cut_row_groups(source: Source, given: dict[str, str], sizes: Sizes) -> Iterator[Piece]:
    footer, begin = read_file_footer(InputFile(source.path, source.size, ""))
    schema = footer.schema.to_arrow_schema()
    columns = find_columns(source.kind, source.path, schema.names, given)
    if "rank" in columns and not pt.is_integer(schema.field(columns["rank"]).type):  # it decides nothing
        del columns["rank"]
    check_schema(source.path, schema, columns, "--column ")
    for together in join_groups([*select_row_groups(footer, 0, 1, {*columns.values()})], sizes.split_bytes):
        groups = range(together[0].number, together[-1].number + 1)
        decoded = sum(group.decoded for group in together)
        ranges = plan_ranges(list_chunk_ranges(footer, groups, list(columns.values())), (begin, source.size), decoded)
        rows = sum(footer.row_group(group).num_rows for group in groups)
        yield Piece(
            source,
            columns,
            groups[0],
            groups[-1] + 1,
            max(decoded, rows * MIN_ROW_BYTES),
            tuple(ranges),
            taken=columns,
            first_row=together[0].first,
        )
