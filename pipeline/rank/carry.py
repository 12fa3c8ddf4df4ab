"""Input columns carried to the output: fetched by file and row once the ranking is known."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.errors import RunError, StoreError, UsageError, one_line
from pipeline.input.columns import check_carried, make_carried_field
from pipeline.input.footers import FirstFile, view_file
from pipeline.input.listing import InputFile
from pipeline.input.parquet import list_chunk_ranges, plan_ranges, read_batches, read_footer

BATCH_ROWS = 8192
PLACE = pa.schema([("file", pa.int32()), ("row", pa.int64())])


def select_carried_schema(columns: dict[str, str], first: FirstFile) -> pa.Schema:
    """The files' columns that `columns` names, each once and in that order, in the types in which they are carried.

    first: of the input.
    """
    names = dict.fromkeys(columns.values())
    fields = [first.known[name][0] if name in first.known else first.schema.field(name) for name in names]
    return pa.schema([*map(make_carried_field, fields)])


@dataclass(frozen=True)
class CarriedFetcher:
    """Fetches the carried columns of a bucket's rows from the input itself. schema: theirs."""

    files: list[InputFile]
    schema: pa.Schema

    def __call__(self, bucket: int, rows: pa.Table) -> pa.Table:
        """rows: file and row, in the order of the input. They and their carried columns, in that order."""
        return pa.concat_tables([self.output_schema.empty_table(), *self.read_pieces(rows)])

    @property
    def output_schema(self) -> pa.Schema:
        """PLACE, and the carried columns by numbers, for theirs may be any names."""
        carried = (field.with_name(str(i)) for i, field in enumerate(self.schema))
        return pa.schema([*PLACE, *carried])

    def read_pieces(self, rows: pa.Table) -> Iterator[pa.Table]:
        file, row = rows["file"].to_numpy(), rows["row"].to_numpy()
        for number in np.unique(file).tolist():
            wanted, done = row[file == number], 0
            for table in _take(self.files[number], wanted, self.schema):
                place = [pa.repeat(pa.scalar(number, pa.int32()), len(table)), wanted[done : done + len(table)]]
                yield pa.Table.from_arrays([*place, *table.columns], schema=self.output_schema)
                done += len(table)


def select_in_input_order(rows: pa.Table) -> pa.Table:
    """file and row, in the order of the input."""
    return rows.select(["file", "row"]).sort_by([("file", "ascending"), ("row", "ascending")])


def carry_columns(ranked: pa.Table, columns: dict[str, str], texts: pa.Table) -> pa.Table:
    """`ranked` (with the columns file and row) with the input's columns added, in the order of `columns`.

    texts: as CarriedFetcher gives them, of these very rows.
    """
    order = np.lexsort((ranked["row"].to_numpy(), ranked["file"].to_numpy()))
    if not ranked.select(PLACE.names).take(order).equals(texts.select(PLACE.names)):
        raise RunError(
            f"the carried columns that were read for a part are not those of its {len(ranked):,} rows; was a file of "
            "the input, or of this output, replaced meanwhile? The same command goes on from here"
        )
    back = np.empty(len(order), dtype=np.int64)
    back[order] = np.arange(len(order))
    table = texts.take(back)
    numbers = {column: str(i) for i, column in enumerate(dict.fromkeys(columns.values()))}
    for name, column in columns.items():
        ranked = ranked.append_column(name, table[numbers[column]])
    return ranked


def _footer(file: InputFile) -> tuple[pq.FileMetaData, int]:
    try:
        return read_footer(file.path, file.size, file.version)
    except pa.ArrowInvalid as error:
        raise UsageError(f"{file.path}: {one_line(error)}") from None
    except FileNotFoundError:
        raise StoreError(f"{file.path}: is gone since it was listed") from None


def _take(file: InputFile, rows: np.ndarray, schema: pa.Schema) -> Iterator[pa.Table]:
    """The given rows (ascending numbers in the file), from the row groups that hold them."""
    footer, begin = _footer(file)
    known = {field.name: (field, "the first file") for field in schema}
    view = view_file(file, footer)
    check_carried({name: name for name in schema.names}, file.path, view.schema, known)
    stored = view.list_stored(schema.names)
    sizes = [footer.row_group(i).num_rows for i in range(footer.num_row_groups)]
    starts = np.concatenate([[0], np.cumsum(sizes)])
    if rows[-1] >= starts[-1]:
        raise UsageError(f"{file.path}: has {starts[-1]:,} rows, and row {rows[-1]:,} of it was scored")
    for group in np.unique(np.searchsorted(starts, rows, side="right") - 1).tolist():
        groups = range(group, group + 1)
        chunks = list_chunk_ranges(footer, groups, stored)
        ranges = plan_ranges(chunks, (begin, file.size), footer.row_group(group).total_byte_size)
        at = int(starts[group])
        read = partial(read_batches, file.path, file.size, ranges, groups, schema.names, BATCH_ROWS, file.version)
        for batch in read(file.shown):
            here = rows[(rows >= at) & (rows < at + len(batch))] - at
            yield pa.Table.from_batches([batch]).select(schema.names).cast(schema).take(pa.array(here))
            at += len(batch)
