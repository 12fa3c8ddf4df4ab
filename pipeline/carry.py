"""Input columns carried to the output: fetched by file and row once the ranking is known."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pyarrow.types as pt

from pipeline.config import Config
from pipeline.errors import RunError, UsageError, one_line
from pipeline.parquet import chunk_ranges, plan_ranges, read_batches, read_footer

BATCH_ROWS = 8192
Place = tuple[str, int]  # path and size of an input file


def carried(config: Config) -> dict[str, str]:
    """Name in the output -> column in the files, for `output.columns`: logical names, else the files' own."""
    return {name: config.input.column(name) for name in config.output.columns}


def check_carried(columns: dict[str, str], path: str, schema: pa.Schema, first_path: str, first: pa.Schema) -> None:
    """Raises UsageError where a file lacks a carried column, or has it in another type than the first file."""
    for name, column in columns.items():
        if (n := schema.names.count(column)) != 1:
            what = "has no column" if n == 0 else f"has {n} columns named"
            raise UsageError(f"output.columns: {path} {what} {column!r} for {name!r}; it has {', '.join(schema.names)}")
        kind, other = _written(schema.field(column)), _written(first.field(column))
        try:
            pa.nulls(0, kind.type).take(pa.array([], pa.int64()))
        except pa.ArrowNotImplementedError:
            what = f"column {column!r} is {kind.type} in {path}, of which Arrow can take no rows"
            raise UsageError(f"output.columns: {what}: it cannot be carried") from None
        if kind.type != other.type:
            raise UsageError(
                f"output.columns: column {column!r} is {kind.type} in {path}, and {other.type} in {first_path}"
            )


def _written(field: pa.Field) -> pa.Field:
    """The type in which a column is carried: dictionaries by their values, for two files' dictionaries differ, and
    texts as large strings, for one bucket's may come to more than the 2 GiB that the others can hold."""
    kind = field.type.value_type if pt.is_dictionary(field.type) else field.type
    large = {pa.string(): pa.large_string(), pa.binary(): pa.large_binary()}
    large |= {pa.string_view(): pa.large_string(), pa.binary_view(): pa.large_binary()}  # no rows can be taken of views
    return pa.field(field.name, large.get(kind, kind))


def carried_schema(columns: dict[str, str], files: dict[int, Place]) -> pa.Schema:
    """The files' columns that `columns` names, each once, in the types in which they are carried."""
    first = _footer(*files[min(files)])[0].schema.to_arrow_schema()
    return pa.schema([_written(first.field(name)) for name in dict.fromkeys(columns.values())])


@dataclass(frozen=True)
class Fetch:
    """What fetches a bucket's rows from the input itself."""

    files: dict[int, Place]
    schema: pa.Schema

    def __call__(self, bucket: int, rows: pa.Table) -> pa.Table:
        """rows: file and row, in the order of the input. Their carried columns, in that order."""
        return pa.concat_tables([self.schema.empty_table(), *self.pieces(rows)])

    def pieces(self, rows: pa.Table) -> Iterator[pa.Table]:
        file, row = rows["file"].to_numpy(), rows["row"].to_numpy()
        for number in np.unique(file).tolist():
            yield from _take(*self.files[number], row[file == number], self.schema)


def in_input_order(rows: pa.Table) -> pa.Table:
    return rows.select(["file", "row"]).sort_by([("file", "ascending"), ("row", "ascending")])


def carry(ranked: pa.Table, columns: dict[str, str], texts: pa.Table) -> pa.Table:
    """`ranked` (with the columns file and row) with the input's columns added, in the order of `columns`.

    texts: the carried columns of these very rows, in the order of the input.
    """
    if len(texts) != len(ranked):
        raise RunError(
            f"{len(ranked):,} rows of a part were to get carried columns, and {len(texts):,} were read: this is a bug, "
            "please report it"
        )
    order = np.lexsort((ranked["row"].to_numpy(), ranked["file"].to_numpy()))
    back = np.empty(len(order), dtype=np.int64)
    back[order] = np.arange(len(order))
    table = texts.take(back)
    for name, column in columns.items():
        ranked = ranked.append_column(name, table[column])
    return ranked


def _footer(path: str, size: int) -> tuple[pq.FileMetaData, int]:
    try:
        return read_footer(path, size)
    except pa.ArrowInvalid as error:
        raise UsageError(f"{path}: {one_line(error)}") from None


def _take(path: str, size: int, rows: np.ndarray, schema: pa.Schema) -> Iterator[pa.Table]:
    """The given rows (ascending numbers in the file), from the row groups that hold them."""
    footer, begin = _footer(path, size)
    check_carried(
        dict(zip(schema.names, schema.names, strict=True)),
        path,
        footer.schema.to_arrow_schema(),
        "the first file",
        schema,
    )
    sizes = [footer.row_group(i).num_rows for i in range(footer.num_row_groups)]
    starts = np.concatenate([[0], np.cumsum(sizes)])
    for group in np.unique(np.searchsorted(starts, rows, side="right") - 1).tolist():
        groups = range(group, group + 1)
        chunks = chunk_ranges(footer, groups, schema.names)
        ranges = plan_ranges(chunks, (begin, size), footer.row_group(group).total_byte_size)
        at = int(starts[group])
        for batch in read_batches(path, size, ranges, groups, schema.names, BATCH_ROWS):
            here = rows[(rows >= at) & (rows < at + len(batch))] - at
            yield pa.Table.from_batches([batch]).select(schema.names).cast(schema).take(pa.array(here))
            at += len(batch)
