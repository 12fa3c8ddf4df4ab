"""Input columns carried to the output: fetched by file and row once the ranking is known."""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.types as pt

from pipeline.config import Config
from pipeline.errors import UsageError
from pipeline.parquet import chunk_ranges, plan_ranges, read_batches, read_footer

BATCH_ROWS = 8192
Place = tuple[str, int]  # path and size of an input file


def carried(config: Config) -> dict[str, str]:
    """Name in the output -> column in the files, for `output.columns`: logical names, else the files' own."""
    return {name: config.input.column(name) for name in config.output.columns}


def check_carried(columns: dict[str, str], schema: pa.Schema, path: str) -> None:
    """Raises UsageError where a carried column is not in the input."""
    for name, column in columns.items():
        if column not in schema.names:
            raise UsageError(
                f"output.columns: {path} has no column {column!r} for {name!r}; it has {', '.join(schema.names)}"
            )


def carry(ranked: pa.Table, columns: dict[str, str], files: dict[int, Place]) -> pa.Table:
    """`ranked` (with the columns file and row) with the input's columns added, in the order of `columns`."""
    file, row = ranked["file"].to_numpy(), ranked["row"].to_numpy()
    order = np.lexsort((row, file))
    names = list(dict.fromkeys(columns.values()))
    parts = [
        part for number in np.unique(file) for part in _take(*files[int(number)], np.sort(row[file == number]), names)
    ]
    if not parts:  # an empty bucket has the columns too
        schema = read_footer(*next(iter(files.values())))[0].schema.to_arrow_schema()
        parts = [_flat(schema.empty_table().select(names))]
    back = np.empty(len(order), dtype=np.int64)
    back[order] = np.arange(len(order))
    table = pa.concat_tables(parts, promote_options="permissive").take(back)
    for name, column in columns.items():
        ranked = ranked.append_column(name, table[column])
    return ranked


def _take(path: str, size: int, rows: np.ndarray, columns: list[str]) -> Iterator[pa.Table]:
    """The given rows (ascending numbers in the file), from the row groups that hold them."""
    footer, begin = read_footer(path, size)
    sizes = [footer.row_group(i).num_rows for i in range(footer.num_row_groups)]
    starts = np.concatenate([[0], np.cumsum(sizes)])
    for group in np.unique(np.searchsorted(starts, rows, side="right") - 1).tolist():
        groups = range(group, group + 1)
        chunks = chunk_ranges(footer, groups, columns)
        ranges = plan_ranges(chunks, (begin, size), footer.row_group(group).total_byte_size)
        at = int(starts[group])
        for batch in read_batches(path, size, ranges, groups, columns, BATCH_ROWS):
            here = rows[(rows >= at) & (rows < at + len(batch))] - at
            yield _flat(pa.Table.from_batches([batch.take(pa.array(here))]))
            at += len(batch)


def _flat(table: pa.Table) -> pa.Table:
    """Dictionaries as their values: two files' dictionaries differ."""
    for i, field in enumerate(table.schema):
        if pt.is_dictionary(field.type):
            table = table.set_column(i, field.name, table[field.name].cast(field.type.value_type))
    return table
