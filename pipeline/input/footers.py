"""Footers of the input: each file's schema against the first one's, and the splits that its row groups make."""

from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.config import Config
from pipeline.errors import RefusedError, RunError, UsageError, one_line
from pipeline.input import parquet
from pipeline.input.columns import carried, check_carried, check_same_ids, check_schema, present
from pipeline.input.listing import InputFile, list_inputs
from pipeline.input.parquet import decoded_bytes, read_footer

FOOTER_THREADS = 32


class First(NamedTuple):
    """The first file of an input, which says what all the others must be like.

    columns: logical name -> column in the files, for the columns that are read.
    """

    path: str
    schema: pa.Schema
    columns: dict[str, str]


def check_file(config: Config, file: InputFile, footer: pq.FileMetaData, first: First) -> None:
    """Raises UsageError where a file has not the columns, or not the types, that the first one has."""
    schema = _schema(file, footer)
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


def splits(footer: pq.FileMetaData, columns: dict[str, str]) -> Iterator[tuple[int, range, int]]:
    """First row, row groups and decoded bytes of each split of a file; row groups without rows are left out."""
    used = set(columns.values())
    row = begin = size = 0
    groups: list[int] = []
    for number in range(footer.num_row_groups):
        group, decoded = footer.row_group(number), decoded_bytes(footer, [number], used)
        if groups and size + decoded > parquet.SPLIT_BYTES:
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
