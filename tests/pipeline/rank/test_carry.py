"""Carried columns: the right values for the right rows, in one type for the whole result."""

import os
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.errors import RunError, StoreError, UsageError
from pipeline.input.columns import check_carried
from pipeline.input.footers import FirstFile
from pipeline.input.listing import InputFile, list_inputs
from pipeline.rank.carry import CarriedFetcher, carry_columns, select_carried_schema, select_in_input_order
from pipeline.storage.folder import Folder
from pipeline.storage.urls import is_local


def ranked(*rows: tuple[int, int]) -> pa.Table:
    file, row = zip(*rows, strict=True) if rows else ((), ())
    return pa.table({"file": pa.array(file, pa.int32()), "row": pa.array(row, pa.int64())})


def read_schema(columns: dict[str, str], path: str) -> pa.Schema:
    return select_carried_schema(columns, FirstFile(path, pq.read_schema(path), {}, {}))


def fetched(rows: pa.Table, columns: dict[str, str], *paths: str) -> pa.Table:
    """paths: of the input, in the order of their numbers."""
    files = list_inputs([*paths])
    fetch = CarriedFetcher(files, read_schema(columns, paths[0]))
    return carry_columns(rows, columns, fetch(0, select_in_input_order(rows)))


def test_values_come_from_their_file_and_row_in_the_order_of_the_ranking(write_pairs: Callable[..., str]) -> None:
    one = write_pairs("one.parquet", row_group_size=2, doc=[f"a{i}" for i in range(7)], url=list(range(7)))
    between = write_pairs("another.parquet", doc=["x"], url=[0])
    two = write_pairs("two.parquet", row_group_size=3, doc=[f"b{i}" for i in range(7)], url=list(range(10, 17)))
    rows = ranked((2, 6), (0, 0), (2, 1), (0, 5), (0, 1))  # none of the file between the two
    table = fetched(rows, {"text": "doc", "url": "url"}, one, between, two)
    assert table["text"].to_pylist() == ["b6", "a0", "b1", "a5", "a1"]
    assert table["url"].to_pylist() == [16, 0, 11, 5, 1]


def test_dictionaries_come_as_their_values_and_texts_as_large_strings(write_pairs: Callable[..., str]) -> None:
    one = write_pairs("one.parquet", doc=pa.array(["x", "y"]).dictionary_encode())
    two = write_pairs("two.parquet", doc=pa.array(["z", None]).dictionary_encode())
    table = fetched(ranked((1, 1), (1, 0), (0, 1)), {"doc": "doc"}, one, two)
    assert table["doc"].to_pylist() == [None, "z", "y"]
    assert table["doc"].type == pa.large_string()


def test_views_come_as_what_they_show(write_pairs: Callable[..., str]) -> None:
    columns = {
        "text": pa.array(["x", None, "y"], pa.string_view()),
        "data": pa.array([b"1", b"2", None], pa.binary_view()),
    }
    table = fetched(ranked((0, 2), (0, 0)), {"text": "text", "data": "data"}, write_pairs(**columns))
    assert table["text"].to_pylist() == ["y", "x"]
    assert table["data"].to_pylist() == [None, b"1"]


def test_a_result_without_rows_has_the_columns_too(write_pairs: Callable[..., str]) -> None:
    path = write_pairs(doc=["x"], year=[2026])
    table = fetched(ranked(), {"doc": "doc", "year": "year"}, path)
    assert table.schema.field("year").type == pa.int64()
    assert table.num_rows == 0


@pytest.mark.parametrize(
    ("schema", "line"),
    [
        (pa.schema([("doc", pa.string())]), r"output.columns: b.parquet has no column 'url' for 'link'; it has doc"),
        (pa.schema([("url", pa.int32())]), r"column 'url' is int32 in b.parquet, and large_string in a.parquet"),
        (
            pa.schema([("url", pa.list_(pa.string_view()))]),
            r"column 'url' is list<.*> in b.parquet, a type whose rows",
        ),
        (pa.schema([("url", pa.string()), ("url", pa.string())]), r"b.parquet has 2 columns named 'url'"),
    ],
)
def test_a_file_that_lacks_a_carried_column_or_has_another_type_is_refused(schema: pa.Schema, line: str) -> None:
    first = pa.schema([("url", pa.string())])
    with pytest.raises(UsageError, match=line):
        check_carried({"link": "url"}, "b.parquet", schema, {field.name: (field, "a.parquet") for field in first})


def test_columns_of_other_rows_are_never_carried(write_pairs: Callable[..., str]) -> None:
    texts = ranked((0, 0), (0, 2)).append_column("0", pa.array(["x", "y"]))
    assert carry_columns(ranked((0, 2), (0, 0)), {"doc": "doc"}, texts)["doc"].to_pylist() == ["y", "x"]
    for rows in (ranked((0, 0), (0, 1)), ranked((0, 0)), ranked((1, 0), (0, 2))):
        with pytest.raises(RunError, match=r"the carried columns that were read for a part are not those of its"):
            carry_columns(rows, {"doc": "doc"}, texts)


def test_a_file_that_has_gone_or_lost_rows_is_named(write_pairs: Callable[..., str], tmp_path: Path) -> None:
    path = write_pairs(doc=["x", "y"])
    with pytest.raises(UsageError, match=r"pairs.parquet: has 2 rows, and row 2 of it was scored"):
        fetched(ranked((0, 0), (0, 2)), {"doc": "doc"}, path)
    fetch = CarriedFetcher([InputFile(f"{tmp_path}/gone.parquet", 100, "1.5")], pa.schema([("doc", pa.string())]))
    with pytest.raises(StoreError, match=r"gone.parquet: is gone since it was listed"):
        fetch(0, ranked((0, 0)))


@pytest.mark.parametrize("store", ["local", "s3"])
def test_columns_of_another_version_of_a_file_are_never_carried(
    store: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """It was written again between scoring and ranking, with as many bytes and rows."""
    if store == "s3":
        request.getfixturevalue("s3_server")
    folder = {"local": str(tmp_path), "s3": f"s3://bucket/{tmp_path.name}"}[store]
    put_doc(folder, "x")
    files = list_inputs([f"{folder}/pairs.parquet"])
    fetch = CarriedFetcher(files, pa.schema([("doc", pa.large_string())]))
    assert fetch(0, ranked((0, 0)))["0"].to_pylist() == ["x"]
    put_doc(folder, "y")
    with pytest.raises(RunError, match=r"pairs.parquet: has changed while the run read it"):
        fetch(0, ranked((0, 0)))


def put_doc(folder: str, doc: str) -> None:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"doc": [doc]}), sink)
    Folder(folder).put("pairs.parquet", sink.getvalue().to_pybytes())
    if is_local(folder):  # a disk's clock may stand still from one write to the next
        os.utime(f"{folder}/pairs.parquet", (0, ord(doc) + 0.5))
