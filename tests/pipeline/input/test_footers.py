"""Footers are read in few requests, and the columns of each file must be those of the first one."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fsspec.implementations.local import LocalFileSystem

from pipeline.config import Config
from pipeline.errors import RunError, UsageError
from pipeline.input.footers import count_rows, read_file_footer, read_first_file
from pipeline.input.listing import InputFile, list_inputs
from pipeline.input.parquet import read_footer

Make = Callable[..., Config]


def write(path: Path, table: pa.Table, **options: Any) -> tuple[str, int]:
    """Writes a file and gives its path and size."""
    pq.write_table(table, path, **options)
    return str(path), path.stat().st_size


def test_a_small_footer_is_read_in_one_request_and_a_large_one_in_two(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[int, int]] = []
    local: Any = fsspec.filesystem("file")
    cat = type(local).cat_file

    def counted(fs: Any, name: str, start: int, end: int) -> bytes:
        asked.append((start, end))
        return cat(fs, name, start=start, end=end)

    monkeypatch.setattr(type(local), "cat_file", counted)
    small, small_size = write(tmp_path / "small.parquet", pa.table({"doc": ["x" * 50] * 9}))
    large, large_size = write(tmp_path / "large.parquet", pa.table({f"column {i}": [i] for i in range(500)}))
    for path, size in ((small, small_size), (large, large_size)):
        asked.clear()
        footer, begin = read_footer(path, size)
        assert footer.equals(pq.read_metadata(path))
        # The format: ..., footer, its length in 4 bytes, PAR1.
        assert begin == size - 8 - int.from_bytes(Path(path).read_bytes()[-8:-4], "little")
        assert asked[0] == (max(0, size - 16 * 1024), size)
        assert asked[1:] == ([(begin, size - 16 * 1024)] if path == large else [])
    assert large_size - begin > 16 * 1024


def test_a_file_without_columns_or_row_groups_has_a_footer(tmp_path: Path) -> None:
    for name, table in (("columns", pa.table({})), ("rows", pa.table({"doc": pa.array([], pa.string())}))):
        path, size = write(tmp_path / f"no {name}.parquet", table)
        assert read_footer(path, size)[0].num_rows == 0


# The files of an input


@pytest.fixture(autouse=True)
def read_again() -> None:
    read_file_footer.cache_clear()


def pairs(rows: int) -> dict[str, list[Any]]:
    return {"query": ["q"] * rows, "doc": [f"text {i}" for i in range(rows)], "score": [1.0] * rows}


def count(config: Config) -> list[int]:
    files = list_inputs(config.input.path)
    return count_rows(config, files, read_first_file(config, files))


def test_rows_are_counted_in_the_order_of_the_files(write_pairs: Any, make_config: Make) -> None:
    rows = [3, 0, 250, 1] * 10
    paths = [write_pairs(f"{i}.parquet", 7, **pairs(count)) for i, count in enumerate(rows)]
    assert count(make_config(paths)) == rows


def test_the_columns_of_the_first_file_are_read(write_pairs: Any, make_config: Make) -> None:
    plain = write_pairs("plain.parquet", **pairs(3))
    with_ids = write_pairs("ids.parquet", query_id=["q"] * 3, doc_id=["a", "b", "c"], **pairs(3))

    def columns(path: str) -> dict[str, str]:
        return read_first_file(make_config(path), list_inputs([path])).columns

    assert columns(plain) == {"query": "query", "doc": "doc", "score": "score"}
    assert columns(with_ids).keys() == {"query_id", "query", "doc_id", "doc", "score"}


def test_ids_come_from_one_source_in_all_files(write_pairs: Any, make_config: Make) -> None:
    plain = write_pairs("plain.parquet", **pairs(3))
    with_ids = write_pairs("ids.parquet", doc_id=["a", "b", "c"], **pairs(3))
    with pytest.raises(
        UsageError, match=r"ids\.parquet: has a column 'doc_id' for doc_id, but .*plain\.parquet has none"
    ):
        count(make_config([plain, with_ids]))
    with pytest.raises(UsageError, match=r"plain\.parquet: has no column 'doc_id' \(input\.columns\.doc_id\)"):
        count(make_config([with_ids, plain]))


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (pa.array([1]), pa.array([1.0])),
        (pa.array(["1"]), pa.array([1.0])),
        (pa.array([1], pa.timestamp("ms")), pa.array([1], pa.timestamp("us"))),
    ],
)
def test_id_columns_whose_ids_would_be_written_differently_are_refused(
    first: pa.Array, second: pa.Array, write_pairs: Any, make_config: Make, tmp_path: Path
) -> None:
    """The same id would be written as 1 and as 1.0, and its query would be ranked as two queries."""
    for name, ids in (("a", first), ("b", second)):
        write_pairs(f"{name}.parquet", query_id=ids, doc_id=["d"], **pairs(1))
    with pytest.raises(UsageError, match=r"b.parquet: column 'query_id' \(input.columns.query_id\) is .*a.parquet"):
        count(make_config(str(tmp_path)))


def test_the_first_file_that_cannot_be_used_is_named(write_pairs: Any, make_config: Make, tmp_path: Path) -> None:
    good = write_pairs("good.parquet", **pairs(3))
    ints = write_pairs("ints.parquet", **pairs(3) | {"doc": [1, 2, 3]})
    (tmp_path / "junk.parquet").write_bytes(b"junk")
    junk = str(tmp_path / "junk.parquet")
    with pytest.raises(UsageError, match=r"ints\.parquet: column 'doc' .* is int64, not a text"):
        count(make_config([good, ints, junk]))
    with pytest.raises(UsageError, match=r"junk\.parquet: not a Parquet file"):
        count(make_config([good, junk, ints]))
    with pytest.raises(UsageError, match=r"junk\.parquet: not a Parquet file"):
        read_first_file(make_config(junk), list_inputs([junk]))


def test_a_file_that_is_deleted_after_it_was_listed_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"gone\.parquet: no such file"):
        read_file_footer(InputFile(str(tmp_path / "gone.parquet"), 100, "1"))


@pytest.mark.parametrize("version", ["as listed", ""])
@pytest.mark.parametrize("written", [b"", b"no Parquet file any more" * 99])
def test_a_file_that_changed_since_it_was_listed_is_not_reported_as_broken(
    written: bytes, version: str, write_pairs: Any
) -> None:
    """Another try helps, so the exit code is 1. version: a store may know none."""
    path = write_pairs(**pairs(3))
    (listed,) = list_inputs([path])
    Path(path).write_bytes(written)
    with pytest.raises(RunError) as error:
        read_file_footer(InputFile(path, listed.size, version and listed.version))
    assert error.value.exit_code == 1 and str(error.value).startswith(f"{path}: ")


def test_a_store_that_fails_is_not_reported_as_bad_input(
    write_pairs: Any, make_config: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_pairs(**pairs(3))

    def fail(*unused: Any, **unused_too: Any) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(LocalFileSystem, "cat_file", fail)
    monkeypatch.setattr("pipeline.storage.exact._read_local", fail)
    with pytest.raises(RunError, match=r"pairs\.parquet: cannot be read: Input/output error") as error:
        count(make_config(path))
    assert error.value.exit_code == 1


def typed(kind: str) -> dict[str, Any]:
    """Columns of one row, or of none, by the form of its ids."""
    ids = {"int": [7], "float": [7.0], "null": [None], "none": pa.array([], pa.string()), "text": ["7"]}[kind]
    rows = len(ids)
    return {"query_id": ids, "doc_id": ["d"] * rows, "url": [None] * rows if kind == "null" else ["u"] * rows} | pairs(
        rows
    )


# The files in their order, and the numbers of those that the line names; None where all can be read together.
TOGETHER: list[tuple[list[str], tuple[int, int] | None]] = [
    (["null", "int", "int"], None),
    (["int", "null", "text"], None),
    (["none", "float", "float"], None),
    (["no columns", "int", "no columns"], None),
    (["other columns", "float"], None),
    (["null", "null", "none"], None),
    (["none", "int", "float"], (2, 1)),
    (["null", "int", "float"], (2, 1)),
    (["no columns", "null", "none", "float", "null", "text"], (5, 3)),
    (["other columns", "text", "float"], (2, 1)),
    (["null"] * 40 + ["int"] + ["float"], (41, 40)),
]


@pytest.mark.parametrize("kinds, named", TOGETHER, ids=[" ".join(kinds)[:50] for kinds, _ in TOGETHER])
def test_files_without_rows_and_columns_of_nulls_go_with_any(
    kinds: list[str], named: tuple[int, int] | None, write_pairs: Any, make_config: Make, tmp_path: Path
) -> None:
    for i, kind in enumerate(kinds):
        columns: dict[str, Any] = {"no columns": {}, "other columns": {"query_id": pa.array([], pa.date32())}}.get(
            kind, {}
        )
        write_pairs(f"in/{i:02d}.parquet", **(columns if " " in kind else typed(kind)))
    config = make_config(str(tmp_path / "in"), output={"columns": ["url"]})
    if named is None:
        assert sum(count(config)) == sum(kind in ("int", "float", "text", "null") for kind in kinds)
        return
    with pytest.raises(UsageError) as error:
        count(config)
    later, earlier = (f"{tmp_path}/in/{number:02d}.parquet" for number in named)
    assert str(error.value).startswith(f"{later}: column 'query_id' (input.columns.query_id) is ")
    assert str(error.value).endswith(f" in {earlier}")


def test_one_footer_is_read_where_the_first_says_all(
    write_pairs: Any, make_config: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [write_pairs(f"{i}.parquet", query_id=[i], title=[None], **pairs(1)) for i in range(5)]
    read: list[str] = []

    def note(path: str, *more: Any) -> Any:
        read.append(path)
        return read_footer(path, *more)

    monkeypatch.setattr("pipeline.input.footers.read_footer", note)
    read_first_file(make_config(paths, input={"columns": {"title": "title"}}), list_inputs(paths))
    assert read == paths[:1]
