"""The plan: input files -> slabs (what one task reads) -> units (what is committed at once).

The plan is put once for a fingerprint and read by every later run, so units mean the same rows for ever.
"""

import json
import secrets
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from actors.rerankers import RERANKERS
from pipeline import parquet
from pipeline.carry import carried, check_carried
from pipeline.columns import check_same_ids, check_schema, present
from pipeline.config import Config
from pipeline.errors import RefusedError, RunError, UsageError, one_line
from pipeline.inputs import InputFile, list_inputs
from pipeline.parquet import Range, chunk_ranges, decoded_bytes, plan_ranges, read_footer

FOOTER_THREADS = 32
SCHEMA = pa.schema(
    [
        ("unit", pa.string()),
        ("start", pa.int64()),  # rows of the file: start <= row < stop
        ("stop", pa.int64()),
        ("slab", pa.int64()),
        ("first_row", pa.int64()),  # where the slab begins in the file
        ("first_group", pa.int32()),
        ("last_group", pa.int32()),
        ("ranges", pa.list_(pa.int64())),  # bytes to fetch: start, stop, start, stop, ...
        ("file", pa.int32()),
        ("path", pa.string()),
        ("size", pa.int64()),
        ("version", pa.string()),
    ]
)


class Unit(NamedTuple):
    name: str
    start: int
    stop: int


@dataclass(frozen=True)
class Slab:
    """Whole row groups of one file, with the byte ranges that hold the columns in use and the footer.

    file: its number, by which the first of two rows of one pair stands.
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

    table: one row a unit, and before them one row for each file without rows (its slab is -1).
    columns: logical name -> column in the files, for the columns that are read.
    id: tells this plan, and its revisions (pipeline.replan), from every other.
    """

    table: pa.Table
    columns: dict[str, str]
    id: str
    revision: int
    next_slab: int  # a number that no slab of any revision has

    @cached_property
    def units(self) -> pa.Table:
        return self.table.filter(pc.field("slab") >= 0)

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
        about = {"columns": self.columns, "id": self.id, "revision": self.revision, "next_slab": self.next_slab}
        metadata = {"plan": json.dumps(about)}
        pq.write_table(self.table.replace_schema_metadata(metadata), sink, compression="zstd")
        return sink.getvalue().to_pybytes()

    @classmethod
    def from_bytes(cls, data: bytes) -> "Plan":
        """Raises UsageError for what another version of this software has written."""
        table = pq.read_table(pa.BufferReader(data))
        try:
            return cls(table.replace_schema_metadata(None).cast(SCHEMA), **json.loads(table.schema.metadata[b"plan"]))
        except (KeyError, TypeError, ValueError, pa.ArrowException):
            raise UsageError(
                "the scores under this output were written by another version of rayrank: another output.path, or "
                "run.on_existing=restart, which throws them away"
            ) from None


def slab_cuts(units: pa.Table) -> np.ndarray:
    """At which of these units of a plan a slab begins; and their number, at the end."""
    numbers = units["slab"].to_numpy()
    begins = np.flatnonzero(np.diff(numbers, prepend=-1))
    return np.append(begins, len(numbers))


def bytes_of(ranges: list[int]) -> int:
    """How many bytes a slab's ranges, as a plan has them, are."""
    return sum(ranges[1::2]) - sum(ranges[::2])


def slabs_of(units: pa.Table) -> Iterator[Slab]:
    """The slabs of these units of a plan."""
    cuts = slab_cuts(units).tolist()
    for start, stop in pairwise(cuts):
        rows = units.slice(start, stop - start).to_pylist()
        first, flat = rows[0], rows[0]["ranges"]
        yield Slab(
            file=first["file"],
            path=first["path"],
            size=first["size"],
            first_row=first["first_row"],
            row_groups=range(first["first_group"], first["last_group"] + 1),
            ranges=list(zip(flat[::2], flat[1::2], strict=True)),
            units=[Unit(row["unit"], row["start"], row["stop"]) for row in rows],
        )


class First(NamedTuple):
    """The first file of an input, which says what all the others must be like.

    columns: logical name -> column in the files, for the columns that are read.
    """

    path: str
    schema: pa.Schema
    columns: dict[str, str]


def unit_rows(config: Config) -> int:
    """Rows in a unit: the config's, or the reranker's own."""
    return config.run.unit_rows or RERANKERS[config.reranker.type].unit_rows


def make_plan(config: Config, files: list[InputFile], unit_rows: int) -> Plan:
    """Reads every footer, checks every schema, and cuts the input into slabs and units.

    Raises UsageError naming the first file, in the order of the input, that cannot be used.
    """
    first = first_file(config, files[0])
    table, next_slab = plan_files(config, enumerate(files), unit_rows, first)
    return Plan(table, first.columns, secrets.token_hex(8), 0, next_slab)


def plan_files(
    config: Config,
    files: Iterable[tuple[int, InputFile]],
    unit_rows: int,
    first: First,
    slab: int = 0,
    threads: int = FOOTER_THREADS,
) -> tuple[pa.Table, int]:
    """The rows of a plan for these files, by their numbers; and the number after that of their last slab.

    slab: the number of the first one. threads: that read footers.
    """
    rows: list[dict[str, Any]] = []
    numbers, listed = zip(*files, strict=True)
    pool = ThreadPoolExecutor(threads)
    try:
        for number, file, (footer, begin) in zip(numbers, listed, pool.map(file_footer, listed), strict=True):
            about_file = {"file": number, "path": file.path, "size": file.size, "version": file.version}
            _check(config, file, _schema(file, footer), first)
            if not footer.num_rows:
                rows.append(about_file | {"slab": -1, "start": 0, "stop": 0})
            for first_row, groups, decoded in slabs(footer, first.columns):
                chunks = chunk_ranges(footer, groups, list(first.columns.values()))
                ranges = plan_ranges(chunks, (begin, file.size), decoded)
                stop = first_row + sum(footer.row_group(group).num_rows for group in groups)
                about_slab = about_file | {
                    "slab": slab,
                    "first_row": first_row,
                    "first_group": groups[0],
                    "last_group": groups[-1],
                    "ranges": [at for bounds in ranges for at in bounds],
                }
                for unit, start in enumerate(range(first_row, stop, unit_rows)):
                    bounds = {"unit": f"{slab:06d}-{unit:04d}", "start": start, "stop": min(start + unit_rows, stop)}
                    rows.append(about_slab | bounds)
                slab += 1
    finally:
        pool.shutdown(cancel_futures=True)
    return pa.Table.from_pylist(rows, SCHEMA), slab


def _check(config: Config, file: InputFile, schema: pa.Schema, first: First) -> None:
    here = present(config, schema)
    for name in here:
        if name not in first.columns:
            raise UsageError(f"{file.path}: has a column {here[name]!r} for {name}, but {first.path} has none")
    check_schema(file.path, schema, first.columns)
    check_same_ids(file.path, schema, first.path, first.schema, first.columns)
    check_carried(carried(config), file.path, schema, first.path, first.schema)


def first_file(config: Config, file: InputFile) -> First:
    """What the first file says of the others."""
    schema = first_schema(file)
    return First(file.path, schema, present(config, schema))


def first_schema(file: InputFile) -> pa.Schema:
    """The schema of the first file, which says which optional columns there are."""
    return _schema(file, file_footer(file)[0])


def _schema(file: InputFile, footer: pq.FileMetaData) -> pa.Schema:
    try:
        return footer.schema.to_arrow_schema()
    except pa.ArrowException as error:
        raise UsageError(f"{file.path}: {one_line(error)}") from None


@lru_cache(maxsize=1)  # the first file's footer is asked for twice
def file_footer(file: InputFile) -> tuple[pq.FileMetaData, int]:
    """A file's footer and the byte at which it begins. Raises UsageError, or RunError for what may be well later."""
    try:
        return read_footer(file.path, file.size)
    except RefusedError as error:
        raise UsageError(str(error)) from None
    except FileNotFoundError:
        raise UsageError(f"{file.path}: no such file") from None
    except (pa.ArrowException, UsageError) as error:
        _check_as_listed(file)
        raise UsageError(str(error) if isinstance(error, UsageError) else f"{file.path}: {one_line(error)}") from None


def _check_as_listed(file: InputFile) -> None:
    """Raises RunError for a file that is another one than was listed."""
    (now,) = list_inputs([file.path])
    if now.size != file.size or (file.version and now.version != file.version):
        raise RunError(f"{file.path}: has changed since it was listed; the same command reads it as it is now")


def slabs(footer: pq.FileMetaData, columns: dict[str, str]) -> Iterator[tuple[int, range, int]]:
    """First row, row groups and decoded bytes of each slab of a file; row groups without rows are left out."""
    used = set(columns.values())
    row = begin = size = 0
    groups: list[int] = []
    for number in range(footer.num_row_groups):
        group, decoded = footer.row_group(number), decoded_bytes(footer, [number], used)
        if groups and size + decoded > parquet.SLAB_BYTES:
            yield begin, range(groups[0], groups[-1] + 1), size
            groups, size = [], 0
        if group.num_rows:
            if not groups:
                begin = row
            groups.append(number)
            size += decoded
        row += group.num_rows
    if groups:
        yield begin, range(groups[0], groups[-1] + 1), size
