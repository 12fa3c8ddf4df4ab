"""pipeline/input/shown.py: a file as its table shows it."""

import pickle
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from pipeline.errors import UsageError
from pipeline.input.shown import Shown, TableColumn, View, find_rows, identify_columns, make_shown, pack_rows

ROWS: list[list[int]] = [[], [0], [7], [8], [0, 1, 2, 3], [5, 1_000_000], [*range(0, 10_000, 3)]]


@pytest.mark.parametrize("rows", ROWS, ids=[str(rows[:3]) for rows in ROWS])
def test_rows_are_found_again(rows: list[int]) -> None:
    packed = pack_rows(np.array(rows, np.int64))
    asked = np.array([*rows, 0, 6, 9, 999_999, 2_000_000])
    assert find_rows(packed, asked).tolist() == [row in rows for row in asked.tolist()]


def test_a_million_deleted_rows_of_ten_take_some_bytes() -> None:
    assert len(pack_rows(np.arange(10_000_000)[::10])) < 20_000


def test_deleted_rows_may_be_given_in_any_order_and_twice() -> None:
    shown = make_shown((), {}, [5, 1, 5])
    assert shown.deleted_rows == 2
    assert shown.find_deleted(1, 7).tolist() == [True, False, False, False, True, False]


def column(name: str, kind: pa.DataType, id: int | None = None, *names: str, default: Any = None) -> TableColumn:
    return TableColumn(pa.field(name, kind), id, names or (name,), default)


def number(name: str, kind: pa.DataType, id: int) -> pa.Field:
    return pa.field(name, kind, metadata={"PARQUET:field_id": str(id)})


# The schema of a file, the columns of its table, and the values that a row of 1, 2, ... in the file is shown with.
VIEWS: dict[str, tuple[list[pa.Field], list[TableColumn], dict[str, Any]]] = {
    "as it is": ([pa.field("a", pa.int64())], [column("a", pa.int64())], {"a": 1}),
    "by another name": ([pa.field("c-1", pa.int64())], [column("a", pa.int64(), None, "c-1")], {"a": 1}),
    "by number": (
        [number("a", pa.int64(), 2), number("b", pa.int64(), 1)],
        [column("a", pa.int64(), 1), column("b", pa.int64(), 2)],
        {"a": 2, "b": 1},
    ),
    "a number that is not there": ([number("a", pa.int64(), 2)], [column("a", pa.int64(), 1)], {"a": None}),
    "no numbers in the file": ([pa.field("old", pa.int64())], [column("a", pa.int64(), 1, "old")], {"a": 1}),
    "wider": ([pa.field("a", pa.int32())], [column("a", pa.float64())], {"a": 1.0}),
    "added": ([pa.field("a", pa.int64())], [column("b", pa.string())], {"b": None}),
    "added with a default": ([pa.field("a", pa.int64())], [column("b", pa.string(), default="x")], {"b": "x"}),
    "of the partition": ([pa.field("a", pa.int64())], [column("part", pa.int32())], {"part": 7}),
    "of the partition, and in the file": ([pa.field("part", pa.int64())], [column("part", pa.int64())], {"part": 1}),
}


@pytest.mark.parametrize("fields, columns, expected", VIEWS.values(), ids=VIEWS)
def test_a_row_as_it_is_shown(fields: list[pa.Field], columns: list[TableColumn], expected: dict[str, Any]) -> None:
    batch = pa.RecordBatch.from_arrays(
        [pa.array([i], field.type) for i, field in enumerate(fields, 1)], schema=pa.schema(fields)
    )
    view = View("a.parquet", Shown(tuple(columns), {"part": 7}), batch.schema)
    shown = view.show(batch.select(view.list_stored(expected)), [*expected])
    assert shown.to_pylist() == [expected]
    assert shown.schema.equals(view.schema)


def test_a_value_that_does_not_fit_is_one_line() -> None:
    batch = pa.RecordBatch.from_pylist([{"a": "x"}])
    view = View("a.parquet", Shown((column("a", pa.int64()),)), batch.schema)
    with pytest.raises(UsageError, match=r"^a\.parquet: column 'a' is int64 in the table: .*x"):
        view.show(batch, ["a"])


def test_columns_are_known_by_what_stays() -> None:
    shown = Shown((column("text", pa.string(), 3), column("id", pa.string(), None, "c-7")))
    named = {"doc": "text", "doc_id": "id", "score": "score"}
    assert identify_columns(shown, named) == {"doc": "#3", "doc_id": "c-7", "score": "score"}
    assert identify_columns(None, named) == named
    assert identify_columns(Shown(constants={"text": "x"}), named) == named | {"doc": "text of folders"}


def test_it_travels() -> None:
    shown = make_shown((column("a", pa.int64(), 1),), {"part": 7}, [3])
    assert pickle.loads(pickle.dumps(shown)) == shown
