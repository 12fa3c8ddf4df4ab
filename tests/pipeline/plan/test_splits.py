"""Every row that is to be scored is in exactly one unit, whatever the sizes of parts, splits and units."""

import random
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.config import Config
from pipeline.input.listing import list_inputs
from pipeline.input.parquet import list_chunk_ranges, read_footer
from pipeline.plan.splits import Split, cut_failed, cut_missing
from pipeline.plan.units import Unit, hash_version, name_score_file
from pipeline.score.read import read_units
from pipeline.sizes import Sizes
from tests.pipeline.plan.cut import cut_input

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


def write_groups(path: Path, rows: list[int]) -> str:
    """A file of row groups of these numbers of rows."""
    with pq.ParquetWriter(path, SCHEMA) as writer:
        for count in rows:
            writer.write_table(pa.table(pairs(count), SCHEMA))
    return str(path)


def cut(config: Config, **sizes: int) -> list[Split]:
    return cut_input(config, Sizes(**sizes))[0]


def list_rows(splits: list[Split]) -> dict[str, list[int]]:
    """File -> the rows of its units, in the order of the splits."""
    rows: dict[str, list[int]] = {}
    for split in splits:
        for unit in split.units:
            rows.setdefault(split.path, []).extend(range(unit.first, unit.stop))
    return rows


def bounds(units: list[Unit]) -> list[tuple[int, int, int]]:
    return [(unit.first, unit.stop, unit.retry) for unit in units]


# Splits of a file without scores


def test_a_small_file_is_one_split_and_its_units_are_runs_of_rows(write_pairs: Any, make_config: Make) -> None:
    path = write_pairs(row_group_size=40, **pairs(250))
    (split,) = cut(make_config(path, run={"unit_rows": 100}))
    (file,) = list_inputs([path])
    assert (split.path, split.size, split.version, split.first_row) == (path, file.size, file.version, 0)
    assert split.row_groups == range(7)
    of = hash_version(file)
    assert split.units == [Unit(of, 250, 0, 100), Unit(of, 250, 100, 200), Unit(of, 250, 200, 250)]


@pytest.mark.parametrize("part_bytes", [100, 3_000, 2**26])
@pytest.mark.parametrize("split_bytes", [1, 5_000, 2**28])
@pytest.mark.parametrize("unit_rows", [1, 7, 10_000])
def test_every_row_of_every_file_is_in_one_unit_in_order(
    write_pairs: Any, make_config: Make, part_bytes: int, split_bytes: int, unit_rows: int
) -> None:
    sizes = {"a.parquet": (500, 50), "b.parquet": (0, 1), "c.parquet": (1, 1), "d.parquet": (333, 100)}
    paths = {write_pairs(name, group, **pairs(rows)): rows for name, (rows, group) in sizes.items()}
    config = make_config(list(paths), run={"unit_rows": unit_rows})
    splits = cut(config, part_bytes=part_bytes, split_bytes=split_bytes)
    assert list_rows(splits) == {path: list(range(rows)) for path, rows in paths.items()}


def test_units_stay_inside_their_split_and_their_bound(write_pairs: Any, make_config: Make) -> None:
    path = write_pairs(row_group_size=50, **pairs(1000))
    splits = cut(make_config(path, run={"unit_rows": 64}), split_bytes=5_000)
    assert len(splits) > 5
    for split in splits:
        assert split.units[0].first == split.first_row == 50 * split.row_groups[0]
        assert split.units[-1].stop == 50 * (split.row_groups[-1] + 1)
        assert all(unit.size == 64 for unit in split.units[:-1])
        assert 0 < split.units[-1].size <= 64


def test_a_split_takes_row_groups_up_to_the_bound_of_the_columns_in_use(write_pairs: Any, make_config: Make) -> None:
    path = write_pairs(row_group_size=50, **pairs(1000))
    footer, _ = read_footer(path, Path(path).stat().st_size)
    groups = [footer.row_group(i) for i in range(20)]
    in_use = [sum(group.column(i).total_uncompressed_size for i in range(3)) for group in groups]
    splits = cut(make_config(path), split_bytes=sum(in_use[:4]))
    assert splits[0].row_groups == range(4)
    for split, after in pairwise(splits):
        assert sum(in_use[i] for i in split.row_groups) <= sum(in_use[:4])
        assert sum(in_use[i] for i in [*split.row_groups, after.row_groups[0]]) > sum(in_use[:4])


def test_a_row_group_above_the_bound_is_a_split_of_its_own(tmp_path: Path, make_config: Make) -> None:
    path = write_groups(tmp_path / "pairs.parquet", [50, 50, 1000, 50])
    splits = cut(make_config(path), split_bytes=10_000)
    assert [split.row_groups for split in splits] == [range(0, 2), range(2, 3), range(3, 4)]
    assert [split.first_row for split in splits] == [0, 100, 1100]


def test_the_bound_holds_for_columns_with_dots_in_their_names(write_pairs: Any, make_config: Make) -> None:
    columns = pairs(1000)
    columns["text.body"] = columns.pop("doc")
    path = write_pairs(row_group_size=50, **columns)
    config = make_config(path, input={"columns": {"doc": "text.body"}})
    assert len(cut(config, split_bytes=5_000)) > 5


def test_the_ranges_of_a_split_hold_its_columns_and_the_footer(write_pairs: Any, make_config: Make) -> None:
    path = write_pairs(row_group_size=100, **pairs(300))
    size = Path(path).stat().st_size
    footer, footer_start = read_footer(path, size)
    (split,) = cut(make_config(path))
    fetched = {offset for start, stop in split.ranges for offset in range(start, stop)}
    for chunk in list_chunk_ranges(footer, range(3), ["query", "doc", "score"]):
        assert fetched.issuperset(range(*chunk))
    assert fetched.issuperset(range(footer_start, size))
    unused = {offset for chunk in list_chunk_ranges(footer, range(3), ["unused"]) for offset in range(*chunk)}
    assert not fetched & unused


# Rows that are not there


def test_a_file_without_rows_has_one_unit_without_rows(write_pairs: Any, make_config: Make) -> None:
    path = write_pairs(**pairs(0))
    (file,) = list_inputs([path])
    for part_bytes in (1, 100, 2**26):
        (split,) = cut(make_config(path), part_bytes=part_bytes)
        assert (split.units, split.row_groups, split.ranges) == ([Unit(hash_version(file), 0, 0, 0)], range(0), [])


@pytest.mark.parametrize("split_bytes", [1, 2**28])
def test_row_groups_without_rows_are_skipped(tmp_path: Path, make_config: Make, split_bytes: int) -> None:
    path = write_groups(tmp_path / "pairs.parquet", [0, 3, 0, 4, 0, 0, 5, 0])
    assert pq.read_metadata(path).num_row_groups == 8
    splits, first = cut_input(make_config(path), Sizes(split_bytes=split_bytes))
    assert list_rows(splits) == {path: list(range(12))}
    units = [unit for split in splits for _, unit in read_units(split, first.columns)]
    assert [row for unit in units for row in unit["row"].to_pylist()] == list(range(12))


# Units of what is missing


# missing, start, stop, unit_rows -> units
CUT_MISSING = [
    ([range(100)], 0, 100, 40, [(0, 40), (40, 80), (80, 100)]),
    ([range(100)], 30, 60, 40, [(30, 60)]),
    ([range(5), range(50, 55), range(90, 200)], 3, 95, 4, [(3, 5), (50, 54), (54, 55), (90, 94), (94, 95)]),
    ([range(5)], 5, 10, 4, []),
    ([range(10, 20)], 5, 10, 4, []),
    ([], 0, 10, 4, []),
]  # fmt: skip


@pytest.mark.parametrize("missing, start, stop, unit_rows, units", CUT_MISSING)
def test_units_of_missing_rows(
    missing: list[range], start: int, stop: int, unit_rows: int, units: list[tuple[int, int]]
) -> None:
    assert [*cut_missing(missing, start, stop, unit_rows)] == units


# failed, start, stop, unit_rows -> units
CUT_FAILED = [
    ({7}, 0, 100, 10, [(7, 8)]),
    ({7, 9, 10, 25, 23}, 0, 100, 10, [(7, 10), (10, 11), (23, 26)]),
    ({7, 9, 10, 25}, 9, 25, 10, [(9, 10), (10, 11)]),
    (set[int](), 0, 100, 10, []),
]


@pytest.mark.parametrize("failed, start, stop, unit_rows, units", CUT_FAILED)
def test_units_of_failed_rows(
    failed: set[int], start: int, stop: int, unit_rows: int, units: list[tuple[int, int]]
) -> None:
    assert [*cut_failed(failed, start, stop, unit_rows)] == units


@pytest.mark.parametrize("seed", range(40))
def test_units_have_each_missing_and_each_failed_row_once(seed: int, write_pairs: Any, make_config: Make) -> None:
    """Compared with what is reckoned row by row, with score files of any bounds; and read, they have these rows."""
    rng = random.Random(seed)
    rows, unit_rows = rng.randrange(1, 120), rng.choice([1, 3, 10, 1000])
    path = write_pairs(row_group_size=rng.choice([1, 4, 13, 1000]), **pairs(rows))
    (file,) = list_inputs([path])
    of, scored, names = hash_version(file), set[int](), []
    for _ in range(rng.randrange(6)):
        first = rng.randrange(rows)
        stop = rng.randint(first + 1, rows)
        names.append(f"f/{name_score_file(Unit(of, rows, first, stop).name, transient=True)}")
        scored |= {*range(first, stop)}
    failed = {row for row in scored if rng.random() < 0.2}
    config = make_config(path, run={"unit_rows": unit_rows, "retry_failed": True})
    sizes = Sizes(part_bytes=rng.choice([100, 1000, 2**26]), split_bytes=rng.choice([1, 500, 2**28]))
    splits, first_file = cut_input(config, sizes, names, failed)
    units = [unit for split in splits for unit in split.units]
    assert [row for unit in units if not unit.retry for row in range(unit.first, unit.stop)] == [
        row for row in range(rows) if row not in scored
    ]
    retried = [row for unit in units if unit.retry for row in range(unit.first, unit.stop)]
    assert failed <= {*retried} and len(retried) == len({*retried})
    assert {unit.retry for unit in units} <= {0, 1} and all(unit.size <= unit_rows for unit in units)
    assert len({unit.name for unit in units}) == len(units)
    for split in splits:
        for unit, table in read_units(split, first_file.columns):
            assert table["row"].to_pylist() == [*range(unit.first, unit.stop)]


def test_a_row_group_without_a_row_to_score_is_not_read(tmp_path: Path, make_config: Make) -> None:
    path = write_groups(tmp_path / "pairs.parquet", [10] * 6)
    of = hash_version(list_inputs([path])[0])
    names = [f"f/{Unit(of, 60, first, stop).name}.parquet" for first, stop in ((0, 15), (20, 45))]
    names.append(f"f/{Unit(of, 60, 45, 60).name}.transient.parquet")
    config = make_config(path, run={"unit_rows": 4, "retry_failed": True})
    first, second = cut_input(config, names=names, failed=[52, 58])[0]
    assert (first.row_groups, first.first_row, bounds(first.units)) == (range(1, 2), 10, [(15, 19, 0), (19, 20, 0)])
    assert (second.row_groups, second.first_row) == (range(5, 6), 50)
    assert bounds(second.units) == [(52, 53, 1), (58, 59, 1)]


@pytest.mark.parametrize("retries, next_one", [([], 1), ([1], 2), ([1, 3], 4)])
def test_a_retry_has_the_number_after_the_highest(
    retries: list[int], next_one: int, write_pairs: Any, make_config: Make
) -> None:
    path = write_pairs(**pairs(10))
    of = hash_version(list_inputs([path])[0])
    units = [Unit(of, 10, 0, 10), *(Unit(of, 10, 2, 9, retry) for retry in retries)]
    names = [f"f/{unit.name}.transient.parquet" for unit in units]
    config = make_config(path, run={"retry_failed": True})
    (split,) = cut_input(config, names=names, failed=[3, 7])[0]
    assert bounds(split.units) == [(3, 8, next_one)]
