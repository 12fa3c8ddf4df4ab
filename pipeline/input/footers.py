"""Footers of the input: compares each file's schema with the first one's, and counts rows."""

from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.config import Config
from pipeline.errors import RefusedError, UsageError, one_line
from pipeline.input.columns import check_carried, check_same_ids, check_schema, select_carried, select_columns
from pipeline.input.listing import InputFile
from pipeline.input.parquet import read_footer
from pipeline.input.versions import look_up
from pipeline.storage.exact import make_changed_error

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
        return read_footer(file.path, file.size, file.version)
    except RefusedError as error:
        raise UsageError(str(error)) from None
    except FileNotFoundError:
        raise UsageError(f"{file.path}: no such file") from None
    except (pa.ArrowException, UsageError) as error:
        _check_as_listed(file)
        raise UsageError(str(error) if isinstance(error, UsageError) else f"{file.path}: {one_line(error)}") from None


def _check_as_listed(file: InputFile) -> None:
    """Raises RunError where a file has changed since it was listed."""
    now = look_up(file.path)
    if now is None or now.size != file.size or (file.version and now.version != file.version):
        raise make_changed_error(file.path)


def count_rows(config: Config, files: list[InputFile], first: FirstFile) -> list[int]:
    """The rows of each file. Reads every footer, and checks every schema.

    Raises UsageError naming the first file, in the order of the input, that cannot be used.
    """
    pool = ThreadPoolExecutor(FOOTER_THREADS)
    try:
        rows = []
        for file, (footer, _) in zip(files, pool.map(read_file_footer, files), strict=True):
            check_file(config, file, footer, first)
            rows.append(footer.num_rows)
        return rows
    finally:
        pool.shutdown(wait=False, cancel_futures=True)  # a hanging read must not delay the error of another file
