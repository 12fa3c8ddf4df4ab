"""Footers of the input: compares each file's schema with the first one's, and cuts its row groups into splits."""

from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.config import Config
from pipeline.errors import RefusedError, RunError, UsageError, one_line
from pipeline.input.columns import check_carried, check_same_ids, check_schema, select_carried, select_columns
from pipeline.input.listing import InputFile, list_inputs
from pipeline.input.parquet import SPLIT_BYTES, count_decoded_bytes, read_footer

FOOTER_THREADS = 32


class FirstFile(NamedTuple):
    """The first file of an input, with which all the others must agree.

    columns: logical name -> column in the files, for the columns that are read.
    """

    path: str
    schema: pa.Schema
    columns: dict[str, str]


def check_file(config: Config, file: InputFile, footer: pq.FileMetaData, first: FirstFile) -> None:
    """Raises UsageError where a file's columns, or their types, differ from the first file's."""
    schema = _read_schema(file, footer)
    here = select_columns(config, schema)
    for name in here:
        if name not in first.columns:
            raise UsageError(f"{file.path}: has a column {here[name]!r} for {name}, but {first.path} has none")
    check_schema(file.path, schema, first.columns)
    check_same_ids(file.path, schema, first.path, first.schema, first.columns)
    check_carried(select_carried(config), file.path, schema, first.path, first.schema)


def read_first_file(config: Config, file: InputFile) -> FirstFile:
    """Reads the footer of the first file."""
    schema = read_first_schema(file)
    return FirstFile(file.path, schema, select_columns(config, schema))


def read_first_schema(file: InputFile) -> pa.Schema:
    """The schema of the first file, which decides which optional columns there are."""
    return _read_schema(file, read_file_footer(file)[0])


def _read_schema(file: InputFile, footer: pq.FileMetaData) -> pa.Schema:
    try:
        return footer.schema.to_arrow_schema()
    except pa.ArrowException as error:
        raise UsageError(f"{file.path}: {one_line(error)}") from None


@lru_cache(maxsize=1)  # the first file's footer is needed twice
def read_file_footer(file: InputFile) -> tuple[pq.FileMetaData, int]:
    """A file's footer and the byte at which it begins. Raises UsageError, or RunError for an error that may pass."""
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
    """Raises RunError where a file has changed since it was listed."""
    (now,) = list_inputs([file.path])
    if now.size != file.size or (file.version and now.version != file.version):
        raise RunError(f"{file.path}: has changed since it was listed; the same command reads it as it is now")


def cut_splits(
    footer: pq.FileMetaData, columns: dict[str, str], split_bytes: int = SPLIT_BYTES
) -> Iterator[tuple[int, range, int]]:
    """First row, row groups and decoded bytes of each split of a file; row groups without rows are left out.

    columns: logical name -> column in the file. split_bytes: decoded bytes of these columns that a split of several
    row groups may have.
    """
    used = set(columns.values())
    row = begin = size = 0
    groups: list[int] = []
    for number in range(footer.num_row_groups):
        group, decoded = footer.row_group(number), count_decoded_bytes(footer, [number], used)
        if groups and size + decoded > split_bytes:
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
