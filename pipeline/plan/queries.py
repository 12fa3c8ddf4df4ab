"""Where the queries of a file begin. The units of a reranker that sees whole queries end there."""

import hashlib
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import accumulate
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from actors.rerankers import RERANKERS
from pipeline.cluster.contract import Cluster
from pipeline.config import Config
from pipeline.errors import UsageError
from pipeline.input.columns import read_query_ids
from pipeline.input.footers import FirstFile, check_file, read_file_footer
from pipeline.input.listing import InputFile
from pipeline.input.parquet import list_chunk_ranges, read_batches
from pipeline.input.shown import list_stored_columns

BATCH_ROWS = 65536


def sees_queries(config: Config) -> bool:
    """Whether the reranker sees all candidates of a query together."""
    return RERANKERS[config.reranker.type].whole_query is not None


def keeps_queries_whole(config: Config) -> bool:
    """Whether a unit begins and ends where a query does: for such a reranker, and where a run may end before all is
    scored, so that queries have scores as a whole."""
    return sees_queries(config) or config.run.until is not None


class _Group(NamedTuple):
    """A row group. borders: its rows, but for the first, at which another query begins. ids: of the queries of its
    first row and of those rows."""

    borders: list[int]
    ids: list[str | None]


class QueryBorders:
    """The rows of a file at which a query begins. It reads the ids of the row groups that it is asked about, once each.

    columns: logical name -> column in the files. Rows with the same query_id that do not stand together are several
    queries here (check_queries_stand_together finds them).
    """

    def __init__(self, file: InputFile, columns: dict[str, str]):
        self._file, self._columns = file, columns
        self._footer, self._footer_start = read_file_footer(file)
        sizes = [self._footer.row_group(number).num_rows for number in range(self._footer.num_row_groups)]
        self._numbers = [number for number, size in enumerate(sizes) if size]
        self._ends = [*accumulate(sizes[number] for number in self._numbers)]
        self._groups: dict[int, _Group] = {}

    def find_next(self, row: int) -> int:
        """The first row from `row` on at which a query begins; the number of the file's rows where there is none."""
        if row <= 0:
            return 0
        for at in range(bisect_right(self._ends, row - 1), len(self._ends)):  # the row before may be another group's
            group = self._read(at)
            start = self._ends[at - 1] if at else 0
            if start >= row and self._read(at - 1).ids[-1] != group.ids[0]:
                return start
            if (found := bisect_left(group.borders, row)) < len(group.borders):
                return group.borders[found]
        return self._ends[-1] if self._ends else 0

    def list_all(self) -> Iterator[tuple[int, str | None]]:
        """The first row and the id of each query of the file; rows without an id, which are rejects, have None. A query
        whose rows here are all deleted is left out."""
        begin, before = 0, None  # of the query that goes on
        for at in range(len(self._ends)):
            group = self._read(at)
            rows = [self._ends[at - 1] if at else 0, *group.borders]
            for row, id in zip(rows, group.ids, strict=True):
                if row and id != before and self._is_live(begin, row):
                    yield begin, before
                begin, before = (row, id) if not row or id != before else (begin, before)
        if self._ends and self._is_live(begin, self._ends[-1]):
            yield begin, before

    def _is_live(self, first: int, stop: int) -> bool:
        """Whether one of these rows is not deleted."""
        shown = self._file.shown
        return not shown or not shown.deleted or not shown.find_deleted(first, stop).all()

    def _read(self, at: int) -> _Group:
        if at not in self._groups:
            first = row = self._ends[at - 1] if at else 0
            file, groups = self._file, range(self._numbers[at], self._numbers[at] + 1)
            names = select_id_columns(self._columns)
            stored = list_stored_columns(file.path, file.shown, self._footer, names)
            ranges = [*list_chunk_ranges(self._footer, groups, stored), (self._footer_start, file.size)]
            borders, ids = list[int](), list[str | None]()
            read = partial(read_batches, file.path, file.size, ranges, groups, names, BATCH_ROWS, file.version)
            for batch in read(file.shown):
                found = read_query_ids(batch, self._columns)
                coded = found.dictionary_encode(null_encoding="encode")
                starts = np.flatnonzero(np.diff(coded.indices.to_numpy(), prepend=-1))
                for start, id in zip(starts.tolist(), found.take(pa.array(starts)).to_pylist(), strict=True):
                    if not ids or id != ids[-1]:
                        borders.append(row + start)
                        ids.append(id)
                row += len(batch)
            self._groups[at] = _Group(borders[1:] if borders[0] == first else borders, ids)
        return self._groups[at]


def select_id_columns(columns: dict[str, str]) -> list[str]:
    """The columns that a query's id is made of."""
    made_of = ["query_id"] if "query_id" in columns else [name for name in ("query", "instruction") if name in columns]
    return [columns[name] for name in made_of]


@dataclass(frozen=True)
class ListQueries:
    """The task of listing the queries of some files. Gives a hash of each and the number of its file, in the order of
    the files. Raises UsageError where a file differs from the first.

    bounds: the number of the first file of each task, and at the end the number of files.
    """

    config: Config
    files: list[InputFile]
    first: FirstFile
    bounds: list[int]

    def __call__(self, task: int) -> tuple[np.ndarray, np.ndarray]:
        hashes, numbers = list[int](), list[int]()
        for number in range(*self.bounds[task : task + 2]):
            file = self.files[number]
            check_file(self.config, file, read_file_footer(file)[0], self.first)
            for _, id in QueryBorders(file, self.first.columns).list_all():
                if id is not None:
                    hashes.append(_hash(id))
                    numbers.append(number)
        return np.array(hashes, np.uint64), np.array(numbers, np.int64)


def check_queries_stand_together(
    config: Config, files: list[InputFile], first: FirstFile, cluster: Cluster, tasks: int = 256
) -> None:
    """Raises UsageError where the rows of a query do not stand together, and names one. Reads all ids of queries."""
    bounds = [len(files) * task // min(tasks, len(files)) for task in range(min(tasks, len(files)) + 1)]
    found = [*cluster.run(ListQueries(config, files, first, bounds), range(len(bounds) - 1))]
    hashes, numbers = (np.concatenate(arrays) for arrays in zip(*found, strict=True))
    order = np.argsort(hashes, kind="stable")
    again = np.flatnonzero(np.diff(hashes[order]) == 0)
    if not len(again):
        return
    queries = len(np.unique(hashes[order][again]))
    at = order[again[0] : again[0] + 2]
    id, *places = _find_places(files, first.columns, hashes[at[0]], sorted({*numbers[at].tolist()}))
    raise UsageError(
        f"the rows of query {id!r} do not stand together: they begin in {places[0]}, and again in {places[1]}"
        f"{f', and so do those of {queries - 1:,} more' if queries > 1 else ''}. reranker.type = "
        f"{config.reranker.type!r} sees all candidates of a query at once; jobs/prepare.py groups a table of pairs by "
        "query (docs/queries.md)"
    )


def _find_places(files: list[InputFile], columns: dict[str, str], wanted: int, numbers: Iterable[int]) -> list[str]:
    """The id with this hash, and where its rows begin."""
    found = [
        (id, f"{files[number].path}, row {row}")
        for number in numbers
        for row, id in QueryBorders(files[number], columns).list_all()
        if id is not None and _hash(id) == wanted
    ]
    return [found[0][0], *(place for _, place in found)]


def _hash(id: str) -> int:
    return int.from_bytes(hashlib.blake2b(id.encode(), digest_size=8).digest(), "big")
