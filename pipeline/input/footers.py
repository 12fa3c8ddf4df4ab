"""Footers of the input: compares each file's schema with the first one's, and counts rows."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache, partial
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.config import Config
from pipeline.errors import RefusedError, StoreError, UsageError, one_line
from pipeline.input.columns import (
    EXACT_BELOW,
    IDS,
    Known,
    check_carried,
    check_exact_ids,
    check_same_ids,
    check_schema,
    select_carried,
    select_columns,
)
from pipeline.input.listing import InputFile
from pipeline.input.parquet import is_in_use, read_batches, read_footer
from pipeline.input.shown import View, view_footer
from pipeline.input.versions import look_up
from pipeline.storage.exact import make_changed_error

FOOTER_THREADS = 32
BATCH_ROWS = 8192


class FirstFile(NamedTuple):
    """The first file of an input that has rows, with which all the others must agree.

    columns: logical name -> column in the files, for the columns that are read. known: the types of ids and of carried
    columns, where it has nulls alone of the first file that has more.
    """

    path: str
    schema: pa.Schema
    columns: dict[str, str]
    known: Known


def check_file(config: Config, file: InputFile, footer: pq.FileMetaData, first: FirstFile) -> None:
    """Raises UsageError where a file's columns, or their types, differ from the first file's. One without rows may have
    any."""
    if not footer.num_rows:
        return
    schema = view_file(file, footer).schema
    here = select_columns(config, schema)
    for name in here:
        if name not in first.columns:
            raise UsageError(f"{file.path}: has a column {here[name]!r} for {name}, but {first.path} has none")
    check_schema(file.path, schema, first.columns)
    check_same_ids(file.path, schema, first.known, first.columns)
    check_carried(select_carried(config), file.path, schema, first.known)
    _check_exact_ids(file, footer, schema, first.columns)


def _check_exact_ids(file: InputFile, footer: pq.FileMetaData, schema: pa.Schema, columns: dict[str, str]) -> None:
    """Raises UsageError, naming the row, where the statistics of a footer show ids that are floats and not exact.
    Without statistics they are found when they are read."""
    for name in IDS:
        column = columns.get(name, "")
        if not column or (below := EXACT_BELOW.get(schema.field(column).type)) is None:
            continue
        stored, first_row = {*view_file(file, footer).list_stored([column])}, 0
        for number in range(footer.num_row_groups):
            group = footer.row_group(number)
            chunks = (group.column(i) for i in range(group.num_columns))
            about = next((chunk.statistics for chunk in chunks if is_in_use(chunk, stored)), None)
            bounds = (about.min, about.max) if about and about.has_min_max else ()
            if any(isinstance(bound, float) and abs(bound) >= below for bound in bounds):
                groups, row = range(number, number + 1), first_row
                read = partial(read_batches, file.path, file.size, [], groups, [column], BATCH_ROWS, file.version)
                for batch in read(file.shown):
                    deleted = file.shown.find_deleted(row, row + len(batch)) if file.shown else None
                    check_exact_ids(file.path, batch[column], row, column, name, deleted=deleted)
                    row += len(batch)
            first_row += group.num_rows


def read_first_file(config: Config, files: list[InputFile]) -> FirstFile:
    """Reads the footer of the first file; and of more, one after the other, while it has no rows, or an id or a carried
    column is null all through. Without any rows the very first counts."""
    first = _describe(config, files[0], read_file_footer(files[0])[0])
    found = False
    for file, footer in _read_footers(files):
        if not footer.num_rows:
            continue
        here = _describe(config, file, footer)
        first = first._replace(known=here.known | first.known) if found else here
        found = True
        ids = [column for name, column in first.columns.items() if name in IDS]
        if first.known.keys() >= {*ids, *select_carried(config).values()}:
            break
    return first


def _describe(config: Config, file: InputFile, footer: pq.FileMetaData) -> FirstFile:
    schema = view_file(file, footer).schema
    columns = select_columns(config, schema)
    compared = {*(columns[name] for name in IDS if name in columns), *select_carried(config).values()}
    known = {field.name: (field, file.path) for field in schema if field.name in compared and field.type != pa.null()}
    return FirstFile(file.path, schema, columns, known if footer.num_rows else {})


def _read_footers(files: list[InputFile]) -> Iterator[tuple[InputFile, pq.FileMetaData]]:
    """Files with their footers: that of the first, and then those of FOOTER_THREADS at a time."""
    yield files[0], read_file_footer(files[0])[0]
    with ThreadPoolExecutor(FOOTER_THREADS) as pool:
        for start in range(1, len(files), FOOTER_THREADS):
            some = files[start : start + FOOTER_THREADS]
            yield from zip(some, (footer for footer, _ in pool.map(read_file_footer, some)), strict=True)


def view_file(file: InputFile, footer: pq.FileMetaData) -> View:
    """The columns of a file as its table shows them. Raises UsageError where its schema cannot be read."""
    return view_footer(file.path, file.shown, footer)


@lru_cache(maxsize=1)  # the first file's footer is needed twice
def read_file_footer(file: InputFile) -> tuple[pq.FileMetaData, int]:
    """A file's footer and the byte at which it begins. Raises UsageError, or RunError for an error that may pass."""
    try:
        return read_footer(file.path, file.size, file.version)
    except RefusedError as error:
        raise UsageError(str(error)) from None
    except FileNotFoundError:
        raise StoreError(f"{file.path}: is gone since it was listed") from None
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
