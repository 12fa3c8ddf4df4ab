"""Parts of files -> splits: the whole row groups that one read brings, and the units to score in them."""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import accumulate, groupby
from typing import NamedTuple

import pyarrow.parquet as pq

from actors.rerankers import RERANKERS
from pipeline.config import Config
from pipeline.input.footers import FirstFile, check_file, read_file_footer
from pipeline.input.parquet import Range, count_decoded_bytes, list_chunk_ranges, plan_ranges
from pipeline.input.shown import Shown, list_stored_columns
from pipeline.plan.queries import QueryBorders, keeps_queries_whole
from pipeline.plan.units import Unit, hash_version, parse_score_file
from pipeline.plan.work import FilePart
from pipeline.sizes import Sizes

Align = Callable[[int], int]


@dataclass(frozen=True)
class Split:
    """Whole row groups of one file, with the byte ranges that hold the columns in use and the footer.

    version, shown: of the file, as it was listed. first_row: of the row groups. units: those to score, in the order of
    their rows; there may be others between them.
    """

    path: str
    size: int
    version: str
    first_row: int
    row_groups: range
    ranges: list[Range]
    units: list[Unit]
    shown: Shown | None = None


class RowGroup(NamedTuple):
    """number: in its file. first, stop: its rows. decoded: bytes of the columns in use."""

    number: int
    first: int
    stop: int
    decoded: int


def get_unit_rows(config: Config) -> int:
    """Rows in a unit: from the config, or else the reranker's default."""
    return config.run.unit_rows or RERANKERS[config.reranker.type].unit_rows


def cut_splits(
    part: FilePart, config: Config, first: FirstFile, failed: Collection[int] = (), sizes: Sizes = Sizes()
) -> Iterator[Split]:
    """The splits of a part of a file that have units to score. Reads the file's footer.

    failed: rows of the file that have no score for a reason that may pass, and are scored once more. A file without
    rows has a unit without rows, so that its score file says so. Where units have whole queries, a split has those that
    begin in its row groups, and their rows in the row groups behind. Raises UsageError where the file cannot
    be used.
    """
    file, version = part.file, hash_version(part.file)
    footer, footer_start = read_file_footer(file)
    check_file(config, file, footer, first)
    columns = list_stored_columns(file.path, file.shown, footer, [*first.columns.values()])
    if not footer.num_rows and not part.begin:
        yield Split(file.path, file.size, file.version, 0, range(0), [], [Unit(version, 0, 0, 0)], file.shown)
    missing, again = part.missing if part.missing is not None else [range(footer.num_rows)], sorted(failed)
    align = QueryBorders(file, first.columns).find_next if keeps_queries_whole(config) else _keep_row
    inside = select_row_groups(footer, part.begin / file.size, part.end / file.size, {*columns})
    own = (group._replace(first=align(group.first), stop=align(group.stop)) for group in inside)
    groups = [
        group
        for group in own
        if any(max(rows.start, group.first) < min(group.stop, rows.stop) for rows in missing)
        or bisect_left(again, group.first) < bisect_left(again, group.stop)
    ]
    ends = list_ends(footer)
    new = partial(Unit, version, footer.num_rows)
    retry = 1 + max((found.unit.retry for name in part.failed if (found := parse_score_file(name))), default=0)
    for together in join_groups(groups, sizes.split_bytes):
        start, stop = together[0].first, together[-1].stop
        here = again[bisect_left(again, start) : bisect_left(again, stop)]
        numbers, first_row = find_row_groups(ends, start, stop)
        chunks = list_chunk_ranges(footer, numbers, columns)
        decoded = sum(group.decoded for group in together)
        yield Split(
            path=file.path,
            size=file.size,
            version=file.version,
            first_row=first_row,
            row_groups=numbers,
            ranges=plan_ranges(chunks, (footer_start, file.size), decoded, sizes.split_bytes),
            units=sorted(
                [
                    *(new(*bounds) for bounds in cut_missing(missing, start, stop, get_unit_rows(config), align)),
                    *(new(*bounds, retry) for bounds in cut_failed(here, start, stop, get_unit_rows(config), align)),
                ],
                key=lambda unit: unit.first,
            ),
            shown=file.shown,
        )


def _keep_row(row: int) -> int:
    return row


def cut_missing(
    missing: list[range], start: int, stop: int, unit_rows: int, align: Align = _keep_row
) -> Iterator[tuple[int, int]]:
    """The first row, and the one after the last, of units of the missing rows between two rows. align: the first row
    from a row on at which a unit may begin."""
    for rows in missing:
        row, end = max(rows.start, start), min(rows.stop, stop)
        while row < end:
            after = min(align(row + unit_rows), end)
            yield row, after
            row = after


def cut_failed(
    failed: Collection[int], start: int, stop: int, unit_rows: int, align: Align = _keep_row
) -> Iterator[tuple[int, int]]:
    """The same of the rows that are scored once more: they may have others between them."""
    rows = sorted(row for row in failed if start <= row < stop)
    for _, near in groupby(rows, lambda row: (align(row + 1) - 1) // unit_rows):
        together = [*near]
        yield together[0], together[-1] + 1


def list_ends(footer: pq.FileMetaData) -> list[int]:
    """The row after the last of each row group of a file."""
    return [*accumulate(footer.row_group(number).num_rows for number in range(footer.num_row_groups))]


def find_row_groups(ends: list[int], start: int, stop: int) -> tuple[range, int]:
    """The row groups that have the rows from `start` to before `stop`, and the first row of these groups."""
    first, last = bisect_right(ends, start), bisect_left(ends, stop)
    return range(first, last + 1), ends[first - 1] if first else 0


def select_row_groups(footer: pq.FileMetaData, begin: float, end: float, columns: set[str]) -> Iterator[RowGroup]:
    """The row groups with rows whose middle lies in a part of the file: begin <= middle < end, as shares of its bytes.

    Each row group lies in one of several parts that together are the file.
    """
    # At least 1, for writers that do not say it: a row group of no bytes at the end would lie in no part.
    sizes = [max(1, footer.row_group(number).total_byte_size) for number in range(footer.num_row_groups)]
    total, seen, row = sum(sizes), 0, 0
    for number, size in enumerate(sizes):
        rows = footer.row_group(number).num_rows
        if rows and begin <= (seen + size / 2) / total < end:
            yield RowGroup(number, row, row + rows, count_decoded_bytes(footer, [number], columns))
        seen, row = seen + size, row + rows


def join_groups(groups: list[RowGroup], split_bytes: int) -> Iterator[list[RowGroup]]:
    """Neighbouring row groups that are read together, of at most `split_bytes`, or a single one that has more."""
    for _, neighbours in groupby(enumerate(groups), lambda at: at[1].number - at[0]):
        held: list[RowGroup] = []
        for _, group in neighbours:
            if held and sum(other.decoded for other in held) + group.decoded > split_bytes:
                yield held
                held = []
            held.append(group)
        if held:
            yield held
