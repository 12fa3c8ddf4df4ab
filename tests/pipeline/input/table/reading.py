"""Reads a table as a run does, whole."""

from typing import Any

import numpy as np
import pyarrow as pa
from pydantic import TypeAdapter

from pipeline.config.sections import Table
from pipeline.input.footers import read_file_footer, view_file
from pipeline.input.listing import InputFile
from pipeline.input.parquet import read_batches
from pipeline.input.table import list_table

BATCH_ROWS = 3  # fewer than a row group has
TABLE: TypeAdapter[Any] = TypeAdapter(Table)


def list_files(**about: Any) -> list[InputFile]:
    """The files of an `input.table`."""
    return list_table(TABLE.validate_python(about))[1]


def read_rows(**about: Any) -> list[dict[str, Any]]:
    """The rows of an `input.table` that are not deleted, in some order."""
    return sort_rows(pa.concat_tables(map(_read, list_files(**about)), promote_options="permissive"))


def _read(file: InputFile) -> pa.Table:
    footer, _ = read_file_footer(file)
    names = view_file(file, footer).schema.names
    groups = range(footer.num_row_groups)
    batches = read_batches(file.path, file.size, [], groups, names, BATCH_ROWS, file.version, file.shown)
    rows = pa.Table.from_batches(batches, view_file(file, footer).schema)
    plain = {pa.string_view(): pa.string(), pa.binary_view(): pa.binary()}  # Arrow can filter no views
    rows = rows.cast(pa.schema([field.with_type(plain.get(field.type, field.type)) for field in rows.schema]))
    assert file.shown
    return rows.filter(pa.array(~file.shown.find_deleted(0, len(rows))))


def sort_rows(rows: Any) -> list[dict[str, Any]]:
    """The rows of a table of Arrow, in one order."""
    return sorted(pa.table(rows).to_pylist(), key=repr)


def numbers(first: int, stop: int) -> pa.Table:
    """Some rows."""
    return pa.table({"id": np.arange(first, stop), "text": [f"text {i}" for i in range(first, stop)]})
