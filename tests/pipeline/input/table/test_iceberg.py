"""Iceberg tables: their rows are those of the library's own scan; with delete files, those that are written here."""

import json
import sys
from collections.abc import Callable
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.errors import UsageError
from pipeline.input.listing import list_inputs
from tests.pipeline.input.table.by_hand import delete_by_vectors, delete_equal, delete_positions
from tests.pipeline.input.table.reading import list_files, numbers, read_rows, sort_rows

pytest.importorskip("pyiceberg")
Make = Callable[[Any], None]
ABOUT: dict[str, Any] = {"format": "iceberg", "catalog": "lake", "name": "shop.pairs"}
DAYS = [date(2026, 1, 5), date(2026, 1, 6), None]


def create(catalog: Any, rows: pa.Table, **more: Any) -> Any:
    return catalog.create_table("shop.pairs", rows.schema, **more)


def append(catalog: Any) -> None:
    table = create(catalog, numbers(0, 1))
    for first in (0, 10, 20):
        table.append(numbers(first, first + 10))


def overwrite(catalog: Any) -> None:
    append(catalog)
    catalog.load_table("shop.pairs").overwrite(numbers(100, 105))


def delete(catalog: Any) -> None:
    append(catalog)
    catalog.load_table("shop.pairs").delete("id < 5 or id > 17")


def upsert(catalog: Any) -> None:
    append(catalog)
    rows = numbers(25, 35).set_column(1, "text", pa.array(["new"] * 10))
    catalog.load_table("shop.pairs").upsert(rows, ["id"])


def with_days() -> pa.Table:
    return numbers(0, 9).append_column("day", pa.array([DAYS[i % 3] for i in range(9)]))


def partition(catalog: Any) -> None:
    table = create(catalog, with_days())
    with table.update_spec() as spec:
        spec.add_identity("day")
    table.append(with_days())


def evolve_partitions(catalog: Any) -> None:
    partition(catalog)
    table = catalog.load_table("shop.pairs")
    with table.update_spec() as spec:
        spec.remove_field("day")
        spec.add_identity("id")
    table.append(with_days().slice(0, 3))
    with table.update_spec() as spec:
        spec.remove_field("id")
    table.append(with_days().slice(3, 2))


def partition_by_month(catalog: Any) -> None:
    from pyiceberg.transforms import MonthTransform

    table = create(catalog, with_days())
    with table.update_spec() as spec:
        spec.add_field("day", MonthTransform())
    folder = take_over(table, [with_days().slice(0, 2)])
    pq.write_table(with_days().slice(0, 2).drop_columns(["day"]), folder / "0.parquet")  # a month gives no day


def rename(catalog: Any) -> None:
    append(catalog)
    table = catalog.load_table("shop.pairs")
    with table.update_schema() as schema:
        schema.rename_column("text", "words")
    table.append(numbers(50, 53).rename_columns(["id", "words"]))


def swap_names(catalog: Any) -> None:
    rows = numbers(0, 4).append_column("other", pa.array(list("abcd")))
    table = create(catalog, rows)
    table.append(rows)
    for old, new in (("text", "x"), ("other", "text"), ("x", "other")):
        with table.update_schema() as schema:
            schema.rename_column(old, new)


def add_column(catalog: Any) -> None:
    from pyiceberg.types import DoubleType

    append(catalog)
    table = catalog.load_table("shop.pairs")
    with table.update_schema() as schema:
        schema.add_column("later", DoubleType())
    table.append(numbers(50, 52).append_column("later", pa.array([1.5, None])))


def drop_and_add(catalog: Any) -> None:
    """A column of the same name is another one, which old files do not have."""
    from pyiceberg.types import StringType

    append(catalog)
    table = catalog.load_table("shop.pairs")
    with table.update_schema() as schema:
        schema.delete_column("text")
    with table.update_schema() as schema:
        schema.add_column("text", StringType())
    table.append(numbers(50, 52))


def move_columns(catalog: Any) -> None:
    append(catalog)
    with catalog.load_table("shop.pairs").update_schema() as schema:
        schema.move_first("text")


def widen(catalog: Any) -> None:
    from pyiceberg.types import DoubleType, LongType

    rows = pa.table({"id": pa.array([1, 2], pa.int32()), "score": pa.array([0.5, None], pa.float32())})
    table = create(catalog, rows)
    table.append(rows)
    with table.update_schema() as schema:
        schema.update_column("id", LongType())
        schema.update_column("score", DoubleType())
    table.append(pa.table({"id": [2**40], "score": [0.25]}))


def nested(catalog: Any) -> None:
    rows = numbers(0, 3).append_column("about", pa.array([{"lang": "de", "tags": ["a", "b"]}, None, {"tags": []}]))
    create(catalog, rows).append(rows)


def kinds(catalog: Any) -> None:
    rows = pa.table(
        {
            "at": pa.array([datetime(2026, 1, 5, 3), None], pa.timestamp("us")),
            "there": pa.array([datetime(2026, 1, 5, 3), None], pa.timestamp("us", "UTC")),
            "flag": [True, None],
            "data": [b"ab", b""],
            "fixed": pa.array([b"abcd", None], pa.binary(4)),
            "price": pa.array([None, 1], pa.decimal128(9, 2)),
        }
    )
    create(catalog, rows).append(rows)


def take_files_over(catalog: Any) -> None:
    """Files without numbers of columns, whose names the table maps, and without the column of the partition."""
    rows = with_days()
    table = create(catalog, rows)
    with table.update_spec() as spec:
        spec.add_identity("day")
    folder = take_over(table, [rows.slice(3 * i, 1) for i in range(2)])
    for i in range(2):
        pq.write_table(rows.slice(3 * i, 1).drop_columns(["day"]), folder / f"{i}.parquet")


def take_over(table: Any, files: list[pa.Table]) -> Path:
    """Adds files that were written without the library. Gives their folder."""
    folder = Path(table.location().removeprefix("file://")) / "old"
    folder.mkdir(parents=True)
    for number, rows in enumerate(files):
        pq.write_table(rows, folder / f"{number}.parquet")
    table.add_files([f"{folder.as_uri()}/{number}.parquet" for number in range(len(files))])
    return folder


CASES: dict[str, Make] = {
    "appends": append,
    "overwrite": overwrite,
    "delete by predicate": delete,
    "upsert": upsert,
    "partition": partition,
    "partition that changed twice": evolve_partitions,
    "partition by month": partition_by_month,
    "renamed column": rename,
    "columns that changed names": swap_names,
    "added column": add_column,
    "a column dropped, and another of its name": drop_and_add,
    "columns in another order": move_columns,
    "wider types": widen,
    "nested column": nested,
    "types": kinds,
    "files that were taken over": take_files_over,
}


@pytest.mark.parametrize("make", CASES.values(), ids=CASES)
def test_rows_are_those_of_the_library(make: Make, catalog: Any) -> None:
    make(catalog)
    expected = sort_rows(catalog.load_table("shop.pairs").scan().to_arrow())
    assert expected
    assert read_rows(**ABOUT) == expected


def test_snapshots_of_the_past(catalog: Any) -> None:
    rename(catalog)
    table = catalog.load_table("shop.pairs")
    names = set()
    for snapshot in table.snapshots():
        rows = read_rows(**ABOUT, snapshot=snapshot.snapshot_id)
        assert rows == sort_rows(table.scan(snapshot_id=snapshot.snapshot_id).to_arrow())
        names |= {*rows[0]}
    assert names == {"id", "text", "words"}


def data_files(table: Any) -> list[str]:
    return sorted((task.file.file_path for task in table.scan().plan_files()), key=lambda path: _first_id(path))


def _first_id(path: str) -> int:
    return pq.read_table(path.removeprefix("file://"))["id"][0].as_py()


# The rows of three files of ten that each of some commits deletes.
DELETES = {
    "one file": [{0: [1, 3, 9]}],
    "two files": [{0: [0], 2: [5, 4]}],
    "twice": [{1: [2, 3]}, {1: [3, 7], 0: [9]}],
    "all rows": [{1: [*range(10)]}],
}


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("commits", DELETES.values(), ids=DELETES)
def test_deleted_rows(commits: list[dict[int, list[int]]], version: int, catalog: Any) -> None:
    """By files of positions in version 2 of the format, and by deletion vectors in version 3."""
    append(catalog)
    table = catalog.load_table("shop.pairs")
    files, gone, before = data_files(table), set[int](), dict[int, list[int]]()
    for number, rows in enumerate(commits):
        if version == 3:  # a vector has those of the one before, too
            rows = {file: sorted({*own, *before.get(file, [])}) for file, own in rows.items()}
        delete = delete_by_vectors if version == 3 else delete_positions
        delete(table, {files[file]: own for file, own in rows.items()}, f"deletes-{number}")
        before |= rows
        gone |= {10 * file + row for file, own in rows.items() for row in own}
    if version == 3:
        table = raise_version(catalog, table)
    found = read_rows(**ABOUT)
    assert [row["id"] for row in sorted(found, key=lambda row: row["id"])] == [i for i in range(30) if i not in gone]
    assert found == sort_rows(catalog.load_table("shop.pairs").scan().to_arrow())
    assert sum(file.deleted_rows for file in list_files(**ABOUT)) == len(gone)


def raise_version(catalog: Any, table: Any, *columns: dict[str, Any]) -> Any:
    """The table in version 3 of the format, which the library does not write, with further columns."""
    place = Path(table.metadata_location.removeprefix("file://"))
    metadata = json.loads(place.read_text()) | {"format-version": 3, "next-row-id": 0}
    metadata["schemas"][-1]["fields"] += columns
    place = place.with_name("00099-by-hand.metadata.json")
    place.write_text(json.dumps(metadata))
    catalog.drop_table("shop.pairs")
    return catalog.register_table("shop.pairs", place.as_uri())


def test_a_column_with_a_default(catalog: Any) -> None:
    append(catalog)
    column = {"id": 3, "name": "lang", "type": "string", "required": False, "initial-default": "de"}
    raise_version(catalog, catalog.load_table("shop.pairs"), column | {"write-default": "en"})
    rows = read_rows(**ABOUT)
    assert {row["lang"] for row in rows} == {"de"}
    assert rows == sort_rows(catalog.load_table("shop.pairs").scan().to_arrow())


def test_the_folder_of_a_table_names_the_key(catalog: Any) -> None:
    append(catalog)
    place = catalog.load_table("shop.pairs").location().removeprefix("file://")
    with pytest.raises(UsageError) as error:
        list_inputs([place])
    assert "Give it as input.table: {format: iceberg, catalog: ..., name: ...}" in str(error.value)


def equality(catalog: Any) -> None:
    append(catalog)
    delete_equal(catalog.load_table("shop.pairs"), "equal")


def empty(catalog: Any) -> None:
    create(catalog, numbers(0, 1))


def other_parts(catalog: Any) -> None:
    from pyiceberg.types import StringType

    nested(catalog)
    with catalog.load_table("shop.pairs").update_schema() as schema:
        schema.add_column(("about", "more"), StringType())


BAD: dict[str, tuple[Make, dict[str, Any], str]] = {
    "equality deletes": (equality, {}, "it has equality deletes, have its files rewritten"),
    "no snapshot": (empty, {}, "has no snapshot yet"),
    "no such snapshot": (append, {"snapshot": 7}, "cannot be read by pyiceberg"),
    "no such table": (append, {"name": "shop.other"}, "shop.other"),
    "no such catalog": (append, {"catalog": "pond"}, "PYICEBERG_CATALOG__POND__URI"),
}


@pytest.mark.parametrize("make, more, words", BAD.values(), ids=BAD)
def test_what_cannot_be_read_is_one_line(make: Make, more: dict[str, Any], words: str, catalog: Any) -> None:
    make(catalog)
    with pytest.raises(UsageError) as error:
        list_files(**ABOUT | more)
    assert str(error.value).startswith("input.table: Iceberg table")
    assert words in str(error.value)
    assert "\n" not in str(error.value)


def test_a_nested_column_whose_parts_changed_is_one_line(catalog: Any) -> None:
    other_parts(catalog)
    with pytest.raises(UsageError, match=r"column 'about' is struct<.*, whose parts changed since; have the table's"):
        read_rows(**ABOUT)


def test_without_the_library_one_line_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyiceberg", None)
    with pytest.raises(UsageError, match=r"pyiceberg is not installed \(in the checkout: pip install '\.\[tables\]'\)"):
        list_files(**ABOUT)
