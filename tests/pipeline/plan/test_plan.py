"""Every row of the input is in exactly one unit, in order, and the plan keeps these units."""

import random
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fsspec.implementations.local import LocalFileSystem

from pipeline.config import Config
from pipeline.errors import RunError, UsageError
from pipeline.input.footers import read_first_schema
from pipeline.input.listing import InputFile, list_inputs
from pipeline.input.parquet import SPLIT_BYTES, list_chunk_ranges, read_footer
from pipeline.plan.plan import Plan, Split, count_bytes, make_plan, splits_of
from pipeline.plan.replan import find_changed
from pipeline.score.read import read_units

RANDOM = random.Random(7)
Make = Callable[..., Config]
SCHEMA = pa.schema({"query": pa.string(), "doc": pa.string(), "score": pa.float64(), "unused": pa.string()})


def pairs(rows: int, doc_bytes: int = 20) -> dict[str, list[Any]]:
    """Three columns in use, and one that is not. No two documents are equal, so no dictionary makes them small."""
    return {
        "query": [f"query {i // 10}" for i in range(rows)],
        "doc": [RANDOM.randbytes(doc_bytes // 2).hex() for _ in range(rows)],
        "score": [i / 7 for i in range(rows)],
        "unused": [RANDOM.randbytes(100).hex() for _ in range(rows)],
    }


def plan(config: Config, unit_rows: int = 100, split_bytes: int = SPLIT_BYTES) -> Plan:
    return make_plan(config, list_inputs(config.input.path), unit_rows, split_bytes)


def list_splits(made: Plan) -> list[Split]:
    return list(splits_of(made.units))


def list_rows(made: Plan) -> dict[str, list[int]]:
    """File -> the rows of its units, in the order of the plan."""
    rows: dict[str, list[int]] = {}
    for split in list_splits(made):
        for unit in split.units:
            rows.setdefault(split.path, []).extend(range(unit.start, unit.stop))
    return rows


# Splits and units


def test_a_small_file_is_one_split_and_its_units_are_runs_of_rows(write_pairs: Any, make_config: Make) -> None:
    path = write_pairs(row_group_size=40, **pairs(250))
    (split,) = list_splits(plan(make_config(path), unit_rows=100))
    assert (split.path, split.size, split.first_row) == (path, Path(path).stat().st_size, 0)
    assert split.row_groups == range(7)
    assert split.units == [("000000-0000", 0, 100), ("000000-0001", 100, 200), ("000000-0002", 200, 250)]


@pytest.mark.parametrize("split_bytes", [1, 5_000, 20_000, 2**28])
@pytest.mark.parametrize("unit_rows", [1, 7, 64, 10_000])
def test_every_row_of_every_file_is_in_one_unit_in_order(
    write_pairs: Any, make_config: Make, split_bytes: int, unit_rows: int
) -> None:
    sizes = {"a.parquet": (500, 50), "b.parquet": (0, 1), "c.parquet": (1, 1), "d.parquet": (333, 100)}
    paths = {write_pairs(name, group, **pairs(rows)): rows for name, (rows, group) in sizes.items()}
    made = plan(make_config(list(paths)), unit_rows, split_bytes)
    assert list_rows(made) == {path: list(range(rows)) for path, rows in paths.items() if rows}
    assert made.rows == sum(paths.values())
    assert made.units["start"].to_pylist() == [unit.start for split in list_splits(made) for unit in split.units]


def test_units_stay_inside_their_split_and_their_bound(write_pairs: Any, make_config: Make) -> None:
    path = write_pairs(row_group_size=50, **pairs(1000))
    made = plan(make_config(path), unit_rows=64, split_bytes=5_000)
    assert len(list_splits(made)) > 5
    for split in list_splits(made):
        assert split.units[0].start == split.first_row == 50 * split.row_groups[0]
        assert split.units[-1].stop == 50 * (split.row_groups[-1] + 1)
        assert all(unit.stop - unit.start == 64 for unit in split.units[:-1])
        assert 0 < split.units[-1].stop - split.units[-1].start <= 64
    names = [unit.name for split in list_splits(made) for unit in split.units]
    assert len(set(names)) == len(names) and names == sorted(names)


def test_a_split_takes_row_groups_up_to_the_bound_of_the_columns_in_use(write_pairs: Any, make_config: Make) -> None:
    path = write_pairs(row_group_size=50, **pairs(1000))
    footer, _ = read_footer(path, Path(path).stat().st_size)
    groups = [footer.row_group(i) for i in range(20)]
    in_use = [sum(group.column(i).total_uncompressed_size for i in range(3)) for group in groups]
    made = list_splits(plan(make_config(path), split_bytes=sum(in_use[:4])))
    assert made[0].row_groups == range(4)
    for split, after in pairwise(made):
        assert sum(in_use[i] for i in split.row_groups) <= sum(in_use[:4])
        assert sum(in_use[i] for i in [*split.row_groups, after.row_groups[0]]) > sum(in_use[:4])


def test_a_row_group_above_the_bound_is_a_split_of_its_own(tmp_path: Path, make_config: Make) -> None:
    with pq.ParquetWriter(tmp_path / "pairs.parquet", SCHEMA) as writer:
        for rows in (50, 50, 1000, 50):
            writer.write_table(pa.table(pairs(rows), SCHEMA))
    made = list_splits(plan(make_config(str(tmp_path / "pairs.parquet")), split_bytes=10_000))
    assert [split.row_groups for split in made] == [range(0, 2), range(2, 3), range(3, 4)]
    assert [split.first_row for split in made] == [0, 100, 1100]


def test_the_bound_holds_for_columns_with_dots_in_their_names(write_pairs: Any, make_config: Make) -> None:
    columns = pairs(1000)
    columns["text.body"] = columns.pop("doc")
    path = write_pairs(row_group_size=50, **columns)
    config = make_config(path, input={"columns": {"doc": "text.body"}})
    assert len(list_splits(plan(config, split_bytes=5_000))) > 5


def test_the_ranges_of_a_split_hold_its_columns_and_the_footer(write_pairs: Any, make_config: Make) -> None:
    path = write_pairs(row_group_size=100, **pairs(300))
    size = Path(path).stat().st_size
    footer, footer_start = read_footer(path, size)
    (split,) = list_splits(plan(make_config(path)))
    fetched = {offset for start, stop in split.ranges for offset in range(start, stop)}
    for chunk in list_chunk_ranges(footer, range(3), ["query", "doc", "score"]):
        assert fetched.issuperset(range(*chunk))
    assert fetched.issuperset(range(footer_start, size))
    unused = {offset for chunk in list_chunk_ranges(footer, range(3), ["unused"]) for offset in range(*chunk)}
    assert not fetched & unused


# Files and row groups without rows


def test_a_file_without_rows_is_in_the_plan_and_has_no_units(write_pairs: Any, make_config: Make) -> None:
    empty, full = write_pairs("a.parquet", **pairs(0)), write_pairs("b.parquet", **pairs(5))
    made = plan(make_config([empty, full]))
    assert list_rows(made) == {full: [0, 1, 2, 3, 4]}
    assert made.places() == {0: (empty, Path(empty).stat().st_size), 1: (full, Path(full).stat().st_size)}
    assert not find_changed(made.versions(), list_inputs([empty, full]))


def test_an_input_without_rows_has_a_plan_without_splits(write_pairs: Any, make_config: Make) -> None:
    made = plan(make_config(write_pairs(**pairs(0))))
    assert (made.rows, list_splits(made), len(made.units)) == (0, [], 0)
    assert list_splits(Plan.from_bytes(made.to_bytes())) == []


@pytest.mark.parametrize("split_bytes", [1, 2**28])
def test_row_groups_without_rows_are_skipped(tmp_path: Path, make_config: Make, split_bytes: int) -> None:
    path = tmp_path / "pairs.parquet"
    with pq.ParquetWriter(path, SCHEMA) as writer:
        for rows in (0, 3, 0, 4, 0, 0, 5, 0):
            writer.write_table(pa.table(pairs(rows), SCHEMA))
    assert pq.read_metadata(path).num_row_groups == 8
    made = plan(make_config(str(path)), split_bytes=split_bytes)
    assert list_rows(made) == {str(path): list(range(12))}
    assert [split.row_groups[0] for split in list_splits(made)] == ([1, 3, 6] if split_bytes == 1 else [1])
    units = [unit for split in list_splits(made) for _, unit in read_units(split, made.columns)]
    assert [row for unit in units for row in unit["row"].to_pylist()] == list(range(12))


# The stored plan


def test_a_plan_is_read_back_from_its_bytes(write_pairs: Any, make_config: Make) -> None:
    empty, full = write_pairs("a.parquet", **pairs(0)), write_pairs("b.parquet", 30, **pairs(250))
    made = plan(make_config([empty, full]))
    read = Plan.from_bytes(made.to_bytes())
    assert read.table.equals(made.table)
    assert (read.columns, read.id, read.rows) == (made.columns, made.id, 250)
    assert list_splits(read) == list_splits(made)
    assert read.places() == made.places()


def test_a_plan_of_another_version_is_refused() -> None:
    for other in ({"unit": [1]}, {name: [{"a": 1}] for name in ("unit", "split", "path")}):
        sink = pa.BufferOutputStream()
        pq.write_table(pa.table(other), sink)
        with pytest.raises(UsageError, match="were written by another version of rayrank"):
            Plan.from_bytes(sink.getvalue().to_pybytes())


def test_two_plans_of_one_input_have_different_ids(write_pairs: Any, make_config: Make) -> None:
    config = make_config(write_pairs(**pairs(5)))
    assert plan(config).id != plan(config).id


def test_files_of_a_plan_keep_the_order_of_the_input(write_pairs: Any, make_config: Make) -> None:
    b, a = write_pairs("b.parquet", **pairs(3)), write_pairs("a.parquet", **pairs(3))
    assert [path for path, _ in plan(make_config([b, a])).places().values()] == [b, a]


# Inputs that cannot be planned


def test_the_plan_reads_the_columns_of_the_first_file(write_pairs: Any, make_config: Make) -> None:
    plain = write_pairs("plain.parquet", **pairs(3))
    with_ids = write_pairs("ids.parquet", query_id=["q"] * 3, doc_id=["a", "b", "c"], **pairs(3))
    assert plan(make_config(plain)).columns == {"query": "query", "doc": "doc", "score": "score"}
    assert set(plan(make_config(with_ids)).columns) == {"query_id", "query", "doc_id", "doc", "score"}


def test_ids_come_from_one_source_in_all_files(write_pairs: Any, make_config: Make) -> None:
    plain = write_pairs("plain.parquet", **pairs(3))
    with_ids = write_pairs("ids.parquet", doc_id=["a", "b", "c"], **pairs(3))
    with pytest.raises(
        UsageError, match=r"ids\.parquet: has a column 'doc_id' for doc_id, but .*plain\.parquet has none"
    ):
        plan(make_config([plain, with_ids]))
    with pytest.raises(UsageError, match=r"plain\.parquet: has no column 'doc_id' \(input\.columns\.doc_id\)"):
        plan(make_config([with_ids, plain]))


def test_the_first_file_that_cannot_be_used_is_named(write_pairs: Any, make_config: Make, tmp_path: Path) -> None:
    good = write_pairs("good.parquet", **pairs(3))
    ints = write_pairs("ints.parquet", **pairs(3) | {"doc": [1, 2, 3]})
    (tmp_path / "junk.parquet").write_bytes(b"junk")
    junk = str(tmp_path / "junk.parquet")
    with pytest.raises(UsageError, match=r"ints\.parquet: column 'doc' .* is int64, not a text"):
        plan(make_config([good, ints, junk]))
    with pytest.raises(UsageError, match=r"junk\.parquet: not a Parquet file"):
        plan(make_config([good, junk, ints]))
    with pytest.raises(UsageError, match=r"junk\.parquet: not a Parquet file"):
        read_first_schema(list_inputs([junk])[0])


def test_a_file_that_is_deleted_after_it_was_listed_is_named(
    write_pairs: Any, make_config: Make, tmp_path: Path
) -> None:
    gone = InputFile(str(tmp_path / "gone.parquet"), 100, "1")
    with pytest.raises(UsageError, match=r"gone\.parquet"):
        make_plan(make_config(gone.path), [gone], 100)


def test_a_store_that_fails_is_not_reported_as_bad_input(
    write_pairs: Any, make_config: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_pairs(**pairs(3))

    def fail(*unused: Any, **unused_too: Any) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(LocalFileSystem, "cat_file", fail)
    with pytest.raises(RunError, match=r"pairs\.parquet: cannot be read: Input/output error") as error:
        plan(make_config(path))
    assert error.value.exit_code == 1


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (pa.array([1]), pa.array([1.0])),
        (pa.array(["1"]), pa.array([1.0])),
        (pa.array([1], pa.timestamp("ms")), pa.array([1], pa.timestamp("us"))),
    ],
)
def test_id_columns_whose_ids_would_be_written_differently_are_refused(
    first: pa.Array, second: pa.Array, tmp_path: Path, make_config: Callable[..., Config]
) -> None:
    """The same id would be written as 1 and as 1.0, and its query would be ranked as two queries."""
    for name, ids in (("a", first), ("b", second)):
        columns = {"query_id": ids, "query": ["q"], "doc_id": ["d"], "doc": ["text"], "score": [1.0]}
        pq.write_table(pa.table(columns), tmp_path / f"{name}.parquet")
    with pytest.raises(UsageError, match=r"b.parquet: column 'query_id' \(input.columns.query_id\) is .*a.parquet"):
        make_plan(make_config(str(tmp_path)), list_inputs([str(tmp_path)]), 10)


def test_the_bytes_of_a_split_are_those_of_its_ranges() -> None:
    assert count_bytes([10, 30, 40, 45]) == 20 + 5


def test_a_stored_plan_has_the_names_of_earlier_versions(tmp_path: Path, make_config: Callable[..., Config]) -> None:
    pq.write_table(pa.table({"query": ["q"], "doc": ["d"], "score": [1.0]}), tmp_path / "a.parquet")
    config = make_config(str(tmp_path / "a.parquet"))
    plan = make_plan(config, list_inputs(config.input.path), 10)
    assert "slab" in pq.read_schema(pa.BufferReader(plan.to_bytes())).names
