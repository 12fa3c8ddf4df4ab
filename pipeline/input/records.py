"""Small tables that are read whole, as rows of a few named values: JSONL and Parquet."""

import io
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.errors import UsageError, one_line
from pipeline.input.columns import as_ids, check_exact_ids, check_schema
from pipeline.input.match import Unmatched, Usual, match_columns

Taken = Counter[tuple[str, str]]
Record = tuple[str, list[Any]]  # where it stands in the file, and its values
PARQUET_MAGIC = b"PAR1"


def find_columns(path: str, there: list[str], usual: Mapping[str, Usual]) -> list[str]:
    """The column of each name, whether it is written in upper or lower case. path: with the line, if there is one.

    Raises UsageError where one is missing, or can only be guessed.
    """
    lower = [name.lower() for name in there]
    try:
        found = match_columns(usual, lower)
    except Unmatched as error:
        raise UsageError(f"{path}: {error}; it has {', '.join(there)}") from None
    return [there[lower.index(column)] for column in found.values()]


def read_parquet(path: str, data: bytes, usual: Mapping[str, Usual], taken: Taken | None = None) -> Iterator[Record]:
    """The values of these names, ids as strings, in each row. taken: counts the rows by (name, column).

    Raises UsageError naming the column that is wrong.
    """
    try:
        file = pq.ParquetFile(io.BytesIO(data))
        columns = dict(zip(usual, find_columns(path, file.schema_arrow.names, usual), strict=True))
        check_schema(path, file.schema_arrow, {name: columns[name] for name in columns if _is_id(name)}, "--column ")
        table = file.read(columns=[*columns.values()])
    except (pa.ArrowException, OSError) as error:
        raise UsageError(f"{path}: cannot be read: {one_line(error)}") from None
    if taken is not None:
        taken.update(dict.fromkeys(columns.items(), len(table)))
    values = []
    for name, column in columns.items():
        cells = table[column].combine_chunks()
        if _is_id(name):
            check_exact_ids(path, cells, 0, column, name, "--column ")
            cells = as_ids(cells)
        values.append(cells.to_pylist())
    for row, record in enumerate(zip(*values, strict=True)):
        yield f"row {row}", [*record]


def read_objects(
    path: str, lines: list[tuple[int, str]], usual: Mapping[str, Usual], taken: Taken | None = None
) -> Iterator[Record]:
    """The same of one JSON object a line, each with keys of its own, and ids as they are written there."""
    columns: dict[tuple[str, ...], list[str]] = {}  # keys of a line -> those that count
    for number, line in lines:
        try:
            values = json.loads(line)
        except ValueError as error:
            raise UsageError(f"{path}: line {number}: is not JSON ({error})") from None
        if not isinstance(values, dict):
            raise UsageError(f"{path}: line {number}: is not a JSON object")
        there = tuple(values)
        if there not in columns:
            columns[there] = find_columns(f"{path}: line {number}", [*there], usual)
        if taken is not None:
            taken.update(zip(usual, columns[there], strict=True))
        yield f"line {number}", [values[column] for column in columns[there]]


def parse_id(path: str, place: str, value: Any) -> str:
    """An id of a record as a string. Raises UsageError where it is none."""
    if not isinstance(value, str | int) or isinstance(value, bool):
        raise UsageError(f"{path}: {place}: has {json.dumps(value, default=str)[:80]}, which is not an id")
    return str(value)


def _is_id(name: str) -> bool:
    return name.endswith("_id")
