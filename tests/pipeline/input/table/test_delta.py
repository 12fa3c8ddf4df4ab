"""Delta tables: their rows are those of the library's own scan; with deletion vectors, those that are written here."""

import sys
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from pipeline.errors import UsageError
from pipeline.input.listing import list_inputs
from tests.pipeline.input.table.by_hand import DeltaLog, make_vector
from tests.pipeline.input.table.reading import list_files, numbers, read_rows, sort_rows

deltalake = pytest.importorskip("deltalake")
IDS = {"id": "long", "text": "string"}
KINDS: dict[str, list[Any]] = {
    "long": [1, None],
    "double": [1.5, -0.0],
    "string": ["a b/%=ü", "ß"],  # an empty one is null in Delta's log
    "boolean": [True, False],
    "date": [date(2026, 1, 5), None],
    "timestamp": [datetime(2026, 1, 5, 3, 4, 5, 6, UTC), None],
    "decimal": [Decimal("1.50"), Decimal("-2.00")],
}


def write(root: Path, rows: pa.Table, mode: str = "append", **more: Any) -> None:
    deltalake.write_deltalake(str(root), rows, mode=mode, **more)


def open_table(root: Path) -> Any:
    return deltalake.DeltaTable(str(root))


def append(root: Path) -> None:
    for first in (0, 10, 20):
        write(root, numbers(first, first + 10))


def overwrite(root: Path) -> None:
    append(root)
    write(root, numbers(100, 105), "overwrite")


def delete(root: Path) -> None:
    append(root)
    open_table(root).delete("id % 3 = 0 and id < 15")


def delete_a_file(root: Path) -> None:
    append(root)
    open_table(root).delete("id >= 20")


def delete_everything_but_one(root: Path) -> None:
    append(root)
    open_table(root).delete("id <> 7")


def update(root: Path) -> None:
    append(root)
    open_table(root).update(updates={"text": "'new'"}, predicate="id = 4")


def merge(root: Path) -> None:
    append(root)
    merger = open_table(root).merge(numbers(8, 12), "t.id = s.id", source_alias="s", target_alias="t")
    merger.when_matched_delete().execute()


def compact(root: Path) -> None:
    append(root)
    open_table(root).optimize.compact()


def restore(root: Path) -> None:
    delete(root)
    open_table(root).restore(1)


def checkpoint(root: Path) -> None:
    delete(root)
    open_table(root).create_checkpoint()
    for old in (root / "_delta_log").glob("*.json"):
        old.unlink()


def add_column(root: Path) -> None:
    append(root)
    more = numbers(30, 33).append_column("later", pa.array([1.5, None, 2.5]))
    write(root, more, schema_mode="merge")


def partition_by(kind: str) -> Callable[[Path], None]:
    def make(root: Path) -> None:
        values = KINDS[kind]
        rows = numbers(0, 10).append_column("part", pa.array([values[i % 2] for i in range(10)]))
        write(root, rows, partition_by=["part"])

    return make


def partition_twice(root: Path) -> None:
    rows = numbers(0, 12).append_column("a", pa.array([i % 2 for i in range(12)]))
    rows = rows.append_column("b", pa.array([f"x{i % 3}" for i in range(12)]))
    write(root, rows, partition_by=["b", "a"])
    open_table(root).delete("a = 1 and id < 6")


CASES: dict[str, Callable[[Path], None]] = {
    "appends": append,
    "overwrite": overwrite,
    "delete by predicate": delete,
    "delete of a whole file": delete_a_file,
    "delete of all but one row": delete_everything_but_one,
    "update": update,
    "merge": merge,
    "compaction": compact,
    "restore": restore,
    "checkpoint without the log before it": checkpoint,
    "added column": add_column,
    "partition of two columns": partition_twice,
    **{f"partition by {kind}": partition_by(kind) for kind in KINDS},
}


@pytest.mark.parametrize("make", CASES.values(), ids=CASES)
def test_rows_are_those_of_the_library(make: Callable[[Path], None], tmp_path: Path) -> None:
    root = tmp_path / "a table"
    make(root)
    expected = sort_rows(open_table(root).scan())
    assert expected
    assert read_rows(format="delta", path=str(root)) == expected


@pytest.mark.parametrize("version", [0, 1, 2, 3])
def test_a_version_of_the_past(version: int, tmp_path: Path) -> None:
    overwrite(tmp_path)
    expected = sort_rows(deltalake.DeltaTable(str(tmp_path), version=version).scan())
    assert len(expected) == [10, 20, 30, 5][version]
    assert read_rows(format="delta", path=str(tmp_path), version=version) == expected


# Storage of the deletion vector, and the rows of 0 to 9 that it deletes; row groups have four rows.
VECTORS = {
    "inline": ("i", [1, 3, 9]),
    "in a file": ("u", [1, 3, 9]),
    "in a file with a full path": ("p", [0, 4]),
    "a whole row group": ("i", [4, 5, 6, 7]),
    "all rows": ("u", [*range(10)]),
    "one row": ("i", [0]),
}


@pytest.mark.parametrize("storage, deleted", VECTORS.values(), ids=VECTORS)
def test_a_deletion_vector(storage: str, deleted: list[int], tmp_path: Path) -> None:
    root = tmp_path / "t 1"
    log = DeltaLog(root, IDS)
    vector = make_vector(root, deleted, storage)
    log.commit(log.add("a%20b.parquet", numbers(100, 110), vector), log.add("c.parquet", numbers(0, 5)))
    (root / "a%20b.parquet").rename(root / "a b.parquet")  # the log has its name as a part of a URL
    live = [i for i in range(100, 110) if i - 100 not in deleted]
    rows = read_rows(format="delta", path=str(root))
    assert sorted(row["id"] for row in rows) == [0, 1, 2, 3, 4, *live]
    assert rows == sort_rows(open_table(root).scan())
    assert [file.deleted_rows for file in list_files(format="delta", path=str(root))] == [len(deleted), 0]


def test_a_deletion_vector_by_way_of_a_link(tmp_path: Path) -> None:
    log = DeltaLog(tmp_path / "table", IDS)
    log.commit(log.add("a.parquet", numbers(0, 5), make_vector(log.root, [2], "u")))
    (tmp_path / "link").symlink_to(log.root)
    assert [row["id"] for row in read_rows(format="delta", path=str(tmp_path / "link"))] == [0, 1, 3, 4]


@pytest.mark.parametrize("mode", ["name", "id"])
def test_a_renamed_column(mode: str, tmp_path: Path) -> None:
    log = DeltaLog(tmp_path / "table", IDS, {"id": "col-1", "text": "col-2"}, mode)
    rows = numbers(0, 6).rename_columns(["col-1", "col-2"])
    schema = [field.with_metadata({"PARQUET:field_id": str(i)}) for i, field in enumerate(rows.schema, 1)]
    log.commit(log.add("a.parquet", rows.cast(pa.schema(schema)), make_vector(log.root, [1], "i")))
    log.rename("text", "words")
    found = read_rows(format="delta", path=str(log.root))
    assert found == [{"id": i, "words": f"text {i}"} for i in (0, 2, 3, 4, 5)]
    assert found == sort_rows(open_table(log.root).scan())


def test_a_partition_of_a_renamed_column(tmp_path: Path) -> None:
    log = DeltaLog(tmp_path / "table", IDS | {"dt": "date"}, {"id": "c1", "text": "c2", "dt": "c3"}, "name", ["dt"])
    log.commit(log.add("a.parquet", numbers(0, 2).rename_columns(["c1", "c2"]), partitionValues={"c3": "2026-01-05"}))
    found = read_rows(format="delta", path=str(log.root))
    assert found == [{"id": i, "text": f"text {i}", "dt": date(2026, 1, 5)} for i in range(2)]


def test_a_file_that_lies_elsewhere(tmp_path: Path) -> None:
    """As those of a shallow clone do."""
    other = DeltaLog(tmp_path / "other", IDS)
    action = other.add("a b.parquet", numbers(0, 3))
    action["add"]["path"] = (other.root / "a b.parquet").as_uri()
    log = DeltaLog(tmp_path / "table", IDS)
    log.commit(action, log.add("c.parquet", numbers(5, 7)))
    found = read_rows(format="delta", path=str(log.root))
    assert [row["id"] for row in found] == [0, 1, 2, 5, 6]
    paths = [str(other.root / "a b.parquet"), str(log.root / "c.parquet")]
    assert [file.path for file in list_files(format="delta", path=str(log.root))] == paths


def test_files_are_known_as_a_listing_of_the_folder_knows_them(tmp_path: Path) -> None:
    append(tmp_path / "table")
    files = list_files(format="delta", path=str(tmp_path / "table"))
    (tmp_path / "table" / "_delta_log").rename(tmp_path / "log")
    assert files == list_inputs([str(tmp_path / "table")])


def test_the_folder_of_a_table_names_the_key(tmp_path: Path) -> None:
    append(tmp_path)
    with pytest.raises(UsageError) as error:
        list_inputs([str(tmp_path)])
    assert f"Give it as input.table: {{format: delta, path: {tmp_path}}}" in str(error.value)


def gone(root: Path) -> None:
    append(root)
    next(root.glob("*.parquet")).unlink()


def not_there(root: Path) -> None:
    root.mkdir()


def unknown_feature(root: Path) -> None:
    log = DeltaLog(root, IDS)
    protocol = {"minReaderVersion": 3, "minWriterVersion": 7, "readerFeatures": ["sharpEdges"]}
    log.commit({"protocol": protocol | {"writerFeatures": ["sharpEdges"]}}, log.add("a.parquet", numbers(0, 3)))


def empty(root: Path) -> None:
    DeltaLog(root, IDS)


def binary_partition(root: Path) -> None:
    rows = numbers(0, 3).append_column("part", pa.array([b"a", b"b", b"c"]))
    deltalake.write_deltalake(root, rows, partition_by=["part"])


BAD = {
    "a file is gone": (gone, {}, "is gone from the store (1 such files)"),
    "no table": (not_there, {}, "cannot be read by deltalake"),
    "no such version": (append, {"version": 7}, "has no such version; the newest is 2"),
    "a feature that is not known": (unknown_feature, {}, "plain Parquet"),
    "no files": (empty, {}, "version 0: has no files"),
    "a partition of binary values": (binary_partition, {}, "its partition 'part' is binary, which is not read"),
}


@pytest.mark.parametrize("make, more, words", BAD.values(), ids=BAD)
def test_what_cannot_be_read_is_one_line(
    make: Callable[[Path], None], more: dict[str, Any], words: str, tmp_path: Path
) -> None:
    root = tmp_path / "table"
    make(root)
    with pytest.raises(UsageError) as error:
        list_files(format="delta", path=str(root), **more)
    assert str(error.value).startswith(f"input.table: Delta table {root}")
    assert words in str(error.value)
    assert "\n" not in str(error.value)


def test_without_the_library_one_line_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "deltalake", None)
    with pytest.raises(UsageError, match=r"deltalake is not installed \(in the checkout: pip install '\.\[tables\]'\)"):
        list_files(format="delta", path=str(tmp_path))
