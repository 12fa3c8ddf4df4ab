"""A file of the input as its table shows it, or the names of its folders.

A table has columns that lie in no file of its own: those by which it is partitioned, and those that were added later. A
column may have another name in an older file, or a narrower type. And some rows of a file may be deleted. `Shown` is
all that a table says of one file, and `View` applies it to a schema and to rows; readers ask for columns by the names
that the table has now. The names of Hive's folders (`dt=2026-01-05/`) give columns in the same way. A file of a plain
folder has nothing of this, and is read as it is.
"""

import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pyarrow.types as pt

from pipeline.errors import UsageError, one_line

FIELD_ID = b"PARQUET:field_id"  # under which pyarrow gives the number that a writer gave a column


@dataclass(frozen=True)
class TableColumn:
    """A column of a table. field: its name and type in the table. id: its number in the files, where the table goes by
    numbers. names: those in files that have no numbers. default: its value in files that do not have it."""

    field: pa.Field
    id: int | None = None
    names: tuple[str, ...] = ()
    default: Any = None

    @property
    def identity(self) -> str:
        """Its identity, which stays while the column gets another name."""
        return f"#{self.id}" if self.id is not None else self.names[0]


@dataclass(frozen=True)
class Shown:
    """A table's description of one of its files.

    columns: of the table; None for a plain folder, whose files have their own. constants: columns with one value
    throughout the file, where it does not have them itself: strings, unless `columns` says otherwise. deleted: which
    rows are deleted, as `pack_rows` gives them; deleted_rows: how many.
    """

    columns: tuple[TableColumn, ...] | None = None
    constants: dict[str, Any] = field(default_factory=dict)
    deleted: bytes = b""
    deleted_rows: int = 0

    @property
    def of_table(self) -> bool:
        """Whether a table says it, and not the names of folders."""
        return self.columns is not None

    def find_deleted(self, first: int, stop: int) -> np.ndarray:
        """Whether each row from `first` to before `stop` is deleted."""
        return find_rows(self.deleted, np.arange(first, stop))


def make_shown(columns: tuple[TableColumn, ...], constants: dict[str, Any], deleted: Iterable[int]) -> Shown:
    """The description of a file. deleted: numbers of rows, in any order."""
    rows = np.unique(np.fromiter(deleted, np.int64))
    return Shown(columns, constants, pack_rows(rows), len(rows))


def pack_rows(rows: np.ndarray) -> bytes:
    """Numbers of rows (ascending) as a bit for each, compressed; none are no bytes."""
    if not len(rows):
        return b""
    bits = np.zeros(rows[-1] + 1, bool)
    bits[rows] = True
    return zlib.compress(np.packbits(bits).tobytes())


@lru_cache(maxsize=4)  # a file's rows are asked for batch by batch
def unpack_rows(packed: bytes) -> np.ndarray:
    """Whether each row, up to the last one among them or a few more, is among those that were packed."""
    return np.unpackbits(np.frombuffer(zlib.decompress(packed) if packed else b"", np.uint8)).view(bool)


def find_rows(packed: bytes, rows: np.ndarray) -> np.ndarray:
    """Whether each of these rows is among those that were packed."""
    bits = unpack_rows(packed)
    known = rows < len(bits)
    found = np.zeros(len(rows), bool)
    found[known] = bits[rows[known]]
    return found


@dataclass(frozen=True)
class View:
    """The columns of a file as they are shown. own: the file's schema."""

    path: str
    shown: Shown | None
    own: pa.Schema

    @cached_property
    def _sources(self) -> dict[str, str]:
        """Column of the table -> column of the file, for those that the file has."""
        assert self.shown and self.shown.columns is not None
        by_id = {field.metadata[FIELD_ID]: field.name for field in self.own if FIELD_ID in (field.metadata or {})}
        found = {}
        for column in self.shown.columns:
            if column.id is not None and by_id:
                name = by_id.get(b"%d" % column.id)
            else:
                name = next((name for name in column.names if name in self.own.names), None)
            if name is not None:
                found[column.field.name] = name
        return found

    @cached_property
    def schema(self) -> pa.Schema:
        """The columns that the file is shown to have. Raises UsageError where one lies in it in another form."""
        if self.shown is None:
            return self.own
        if self.shown.columns is None:
            more = (name for name in self.shown.constants if name not in self.own.names)
            return pa.schema([*self.own, *(pa.field(name, pa.string()) for name in more)])
        return pa.schema([self._show_field(column.field) for column in self.shown.columns])

    def _show_field(self, wanted: pa.Field) -> pa.Field:
        """A column of the table, in the file's own type where that is another form of text."""
        if wanted.name not in self._sources:
            return wanted
        own = self.own.field(self._sources[wanted.name])
        if pt.is_nested(own.type) or pt.is_nested(wanted.type):
            if not _is_same(own, wanted):
                raise UsageError(
                    f"{self.path}: column {wanted.name!r} is {own.type}, and {wanted.type} in the table, whose parts "
                    "changed since; have the table's files rewritten, or leave the column out"
                )
            return own.with_name(wanted.name)
        return own.with_name(wanted.name) if _name_kind(own.type) == _name_kind(wanted.type) else wanted

    def list_stored(self, columns: Iterable[str]) -> list[str]:
        """The columns of the file that hold these, each once."""
        if self.shown is None:
            return [*dict.fromkeys(columns)]
        if self.shown.columns is None:
            return [name for name in dict.fromkeys(columns) if name in self.own.names or not self._is_constant(name)]
        return [*dict.fromkeys(self._sources[name] for name in columns if name in self._sources)]

    def _is_constant(self, name: str) -> bool:
        return self.shown is not None and name in self.shown.constants

    def show(self, batch: pa.RecordBatch, columns: list[str]) -> pa.RecordBatch:
        """Rows of the file, with these columns as they are shown. Raises UsageError where a value does not fit the
        table's type."""
        if self.shown is None:
            return batch
        arrays = [self._show_column(batch, name) for name in columns]
        return pa.RecordBatch.from_arrays(arrays, schema=pa.schema([self.schema.field(name) for name in columns]))

    def _show_column(self, batch: pa.RecordBatch, name: str) -> pa.Array:
        assert self.shown is not None
        kind = self.schema.field(name).type
        try:
            if (source := self._find_source(name)) is not None:
                column = batch[source]
                return column if column.type == kind else column.cast(kind)
            if self._is_constant(name):
                value = self.shown.constants[name]
            else:
                value = next((one.default for one in self.shown.columns or () if one.field.name == name), None)
            return pa.nulls(len(batch), kind) if value is None else pa.repeat(pa.scalar(value, kind), len(batch))
        except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
            raise UsageError(f"{self.path}: column {name!r} is {kind} in the table: {one_line(error)}") from None

    def _find_source(self, name: str) -> str | None:
        assert self.shown is not None
        if self.shown.columns is None:
            return name if name in self.own.names else None
        return self._sources.get(name)


def identify_columns(shown: Shown | None, columns: dict[str, str]) -> dict[str, str]:
    """The columns by what they are in the files, for names of a table's columns may change, and a column of folders'
    names is another one than a file's. columns: logical name -> column."""
    if shown and not shown.of_table:
        known = {name: f"{name} of folders" for name in shown.constants}
    else:
        known = {column.field.name: column.identity for column in (shown and shown.columns) or ()}
    return {name: known.get(column, column) for name, column in columns.items()}


def view_footer(path: str, shown: Shown | None, footer: pq.FileMetaData) -> View:
    """The view of a file with this footer. Raises UsageError where its schema cannot be read."""
    try:
        return View(path, shown, footer.schema.to_arrow_schema())
    except pa.ArrowException as error:
        raise UsageError(f"{path}: {one_line(error)}") from None


def list_stored_columns(path: str, shown: Shown | None, footer: pq.FileMetaData, columns: list[str]) -> list[str]:
    """The columns of a file that hold these columns of its table."""
    return columns if shown is None else view_footer(path, shown, footer).list_stored(columns)


def _name_kind(kind: pa.DataType) -> str:
    """The name of a type, the same for all forms of text, and of bytes."""
    return str(kind).removeprefix("large_").removesuffix("_view")


def _is_same(own: pa.Field, wanted: pa.Field) -> bool:
    """Whether a nested column has the same parts in a file as in its table, by names, types, and numbers."""
    mine, others = _list_parts(own.type), _list_parts(wanted.type)
    if not mine or not others:
        return _name_kind(own.type) == _name_kind(wanted.type)
    return len(mine) == len(others) and all(
        (pt.is_struct(own.type) <= (one.name == other.name))
        and _read_id(one) in (None, _read_id(other))
        and _is_same(one, other)
        for one, other in zip(mine, others, strict=True)
    )


def _list_parts(kind: pa.DataType) -> list[pa.Field]:
    return [kind.field(i) for i in range(kind.num_fields)] if pt.is_nested(kind) else []


def _read_id(part: pa.Field) -> bytes | None:
    return (part.metadata or {}).get(FIELD_ID)
