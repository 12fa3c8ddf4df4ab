"""The plan: input files -> splits (each read by one task) -> units (each with one score file).

The plan is put once for a fingerprint and read by every later run, so a unit always means the same rows.
"""

import json
import secrets
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from actors.rerankers import RERANKERS
from pipeline.config import Config
from pipeline.errors import UsageError
from pipeline.input.footers import FOOTER_THREADS, FirstFile, check_file, cut_splits, read_file_footer, read_first_file
from pipeline.input.listing import InputFile
from pipeline.input.parquet import SPLIT_BYTES, Range, list_chunk_ranges, plan_ranges

SCHEMA = pa.schema(
    [
        ("unit", pa.string()),
        ("start", pa.int64()),  # rows of the file: start <= row < stop
        ("stop", pa.int64()),
        ("split", pa.int64()),
        ("first_row", pa.int64()),  # where the split begins in the file
        ("first_group", pa.int32()),
        ("last_group", pa.int32()),
        ("ranges", pa.list_(pa.int64())),  # bytes to fetch: start, stop, start, stop, ...
        ("file", pa.int32()),
        ("path", pa.string()),
        ("size", pa.int64()),
        ("version", pa.string()),
    ]
)

# Files have the name that a split had in earlier versions, whose outputs stay readable.
STORED_NAMES = ["slab" if name == "split" else name for name in SCHEMA.names]


class Unit(NamedTuple):
    """Rows of a file: start <= row < stop."""

    name: str
    start: int
    stop: int


@dataclass(frozen=True)
class Split:
    """Whole row groups of one file, with the byte ranges that hold the columns in use and the footer.

    file: its number; where a pair comes twice, the row in the file with the lower number is kept.
    """

    file: int
    path: str
    size: int
    first_row: int
    row_groups: range
    ranges: list[Range]
    units: list[Unit]


@dataclass(frozen=True)
class Plan:
    """All units of a run, in the order of the input.

    table: one row a unit, and before them one row for each file without rows (its split is -1).
    columns: logical name -> column in the files, for the columns that are read.
    id: distinguishes this plan, with its revisions (pipeline.plan.replan), from all others.
    next_split: higher than the number of any split of any revision so far.
    """

    table: pa.Table
    columns: dict[str, str]
    id: str
    revision: int
    next_split: int

    @cached_property
    def units(self) -> pa.Table:
        """The rows of the table that are units."""
        return self.table.filter(pc.field("split") >= 0)

    def unit_names(self) -> list[str]:
        return self.units["unit"].to_pylist()

    def unit_rows(self) -> np.ndarray:
        """Rows of each unit."""
        return self.units["stop"].to_numpy() - self.units["start"].to_numpy()

    @property
    def rows(self) -> int:
        return int(self.unit_rows().sum())

    def places(self) -> dict[int, tuple[str, int]]:
        """Number of a file -> its path and size."""
        files = self.table.group_by(["file", "path", "size"]).aggregate([]).sort_by("file").to_pylist()
        return {row["file"]: (row["path"], row["size"]) for row in files}

    def versions(self) -> dict[str, tuple[int, str]]:
        """Path of a file -> its size and version."""
        files = self.table.group_by(["path", "size", "version"]).aggregate([]).to_pylist()
        return {row["path"]: (row["size"], row["version"]) for row in files}

    def to_bytes(self) -> bytes:
        sink = pa.BufferOutputStream()
        about = {"columns": self.columns, "id": self.id, "revision": self.revision, "next_slab": self.next_split}
        metadata = {"plan": json.dumps(about)}
        table = self.table.rename_columns(STORED_NAMES).replace_schema_metadata(metadata)
        pq.write_table(table, sink, compression="zstd")
        return sink.getvalue().to_pybytes()

    @classmethod
    def from_bytes(cls, data: bytes) -> "Plan":
        """Raises UsageError for a plan that another version of this software has written."""
        table = pq.read_table(pa.BufferReader(data))
        try:
            about = json.loads(table.schema.metadata[b"plan"])
            if table.column_names != STORED_NAMES:
                raise ValueError(table.column_names)
            rows = table.rename_columns(SCHEMA.names).replace_schema_metadata(None).cast(SCHEMA)
            return cls(rows, next_split=about.pop("next_slab"), **about)
        except (KeyError, TypeError, ValueError, pa.ArrowException):
            raise UsageError(
                "the scores under this output were written by another version of rayrank: another output.path, or "
                "run.on_existing=restart, which throws them away"
            ) from None


def split_cuts(units: pa.Table) -> np.ndarray:
    """The indices at which a split begins among these units of a plan, and at the end the number of units."""
    splits = units["split"].to_numpy()
    starts = np.flatnonzero(np.diff(splits, prepend=-1))
    return np.append(starts, len(splits))


def count_bytes(ranges: list[int]) -> int:
    """The bytes to fetch for a split. ranges: as in a plan's table, (start, stop, start, stop, ...)."""
    return sum(ranges[1::2]) - sum(ranges[::2])


def splits_of(units: pa.Table) -> Iterator[Split]:
    """The splits of these units of a plan."""
    cuts = split_cuts(units).tolist()
    for start, stop in pairwise(cuts):
        rows = units.slice(start, stop - start).to_pylist()
        first, flat = rows[0], rows[0]["ranges"]
        yield Split(
            file=first["file"],
            path=first["path"],
            size=first["size"],
            first_row=first["first_row"],
            row_groups=range(first["first_group"], first["last_group"] + 1),
            ranges=list(zip(flat[::2], flat[1::2], strict=True)),
            units=[Unit(row["unit"], row["start"], row["stop"]) for row in rows],
        )


def unit_rows(config: Config) -> int:
    """Rows in a unit: from the config, or else the reranker's default."""
    return config.run.unit_rows or RERANKERS[config.reranker.type].unit_rows


def make_plan(config: Config, files: list[InputFile], unit_rows: int, split_bytes: int = SPLIT_BYTES) -> Plan:
    """Reads every footer, checks every schema, and cuts the input into splits and units.

    Raises UsageError naming the first file, in the order of the input, that cannot be used.
    """
    first = read_first_file(config, files[0])
    table, next_split = plan_files(config, enumerate(files), unit_rows, first, split_bytes=split_bytes)
    return Plan(table, first.columns, secrets.token_hex(8), 0, next_split)


def plan_files(
    config: Config,
    files: Iterable[tuple[int, InputFile]],
    unit_rows: int,
    first: FirstFile,
    split: int = 0,
    threads: int = FOOTER_THREADS,
    split_bytes: int = SPLIT_BYTES,
) -> tuple[pa.Table, int]:
    """The rows of a plan for these files, and the number after that of their last split.

    files: with their numbers. split: the number of the first split. threads: how many read footers. split_bytes: the
    most decoded bytes of a split, unless a single row group has more.
    """
    rows: list[dict[str, Any]] = []
    numbers, listed = zip(*files, strict=True)
    pool = ThreadPoolExecutor(threads)
    try:
        footers = pool.map(read_file_footer, listed)
        for number, file, (footer, footer_start) in zip(numbers, listed, footers, strict=True):
            about_file = {"file": number, "path": file.path, "size": file.size, "version": file.version}
            check_file(config, file, footer, first)
            if not footer.num_rows:
                rows.append(about_file | {"split": -1, "start": 0, "stop": 0})
            for first_row, groups, decoded in cut_splits(footer, first.columns, split_bytes):
                chunks = list_chunk_ranges(footer, groups, list(first.columns.values()))
                ranges = plan_ranges(chunks, (footer_start, file.size), decoded, split_bytes)
                stop = first_row + sum(footer.row_group(group).num_rows for group in groups)
                about_split = about_file | {
                    "split": split,
                    "first_row": first_row,
                    "first_group": groups[0],
                    "last_group": groups[-1],
                    "ranges": [offset for bounds in ranges for offset in bounds],
                }
                for unit, start in enumerate(range(first_row, stop, unit_rows)):
                    bounds = {"unit": f"{split:06d}-{unit:04d}", "start": start, "stop": min(start + unit_rows, stop)}
                    rows.append(about_split | bounds)
                split += 1
    finally:
        pool.shutdown(cancel_futures=True)
    return pa.Table.from_pylist(rows, SCHEMA), split
