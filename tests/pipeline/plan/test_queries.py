"""Where queries begin, and the units of whole queries, against plain loops over the ids of a file."""

import hashlib
import random
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.config import Config
from pipeline.input.listing import list_inputs
from pipeline.plan import queries
from pipeline.plan.queries import QueryBorders, sees_queries
from pipeline.plan.splits import cut_failed, cut_missing
from pipeline.plan.units import Unit, hash_version, name_score_file
from pipeline.score.read import read_units
from pipeline.sizes import Sizes
from tests.pipeline.plan.cut import cut_input

Make = Callable[..., Config]
WHOLE = {"type": "listwise", "model": "none"}
CODED = pa.dictionary(pa.int32(), pa.string())


def write_groups(path: Path, columns: dict[str, pa.Array], groups: Sequence[int]) -> str:
    """A file of row groups of these numbers of rows; the last one has what is left."""
    table, row = pa.table(columns), 0
    with pq.ParquetWriter(path, table.schema) as writer:
        for size in [*groups, len(table) - sum(groups)]:
            writer.write_table(table.slice(row, size), max(1, size))
            row += size
    assert pq.read_metadata(path).num_row_groups == len(groups) + 1
    return str(path)


def draw_groups(rng: random.Random, rows: int) -> list[int]:
    """Sizes of row groups, of which some are empty."""
    sizes, most = list[int](), rng.choice([1, 4, 30])
    while sum(sizes) < rows:
        sizes.append(min(rng.choice([0, rng.randint(1, most)]), rows - sum(sizes)))
    return sizes[:-1]


def draw_ids(rng: random.Random, rows: int, names: Sequence[Any]) -> list[Any]:
    """Runs of ids, of which some are there again further down, and some runs are long."""
    ids: list[Any] = []
    while len(ids) < rows:
        ids += [rng.choice(names)] * rng.choice([1, 2, 3, rng.randint(1, 40)])
    return ids[:rows]


def list_starts(ids: Sequence[Any]) -> list[int]:
    return [row for row in range(len(ids)) if row == 0 or ids[row] != ids[row - 1]]


def read_borders(path: str, **columns: str) -> QueryBorders:
    (file,) = list_inputs([path])
    return QueryBorders(file, columns)


def check_borders(borders: QueryBorders, keys: Sequence[Any], ids: Sequence[Any], rng: random.Random) -> None:
    """keys: which distinguish a query from the one before it. Rows are asked about in any order."""
    starts = list_starts(keys)
    for row in rng.sample(range(len(keys) + 3), len(keys) + 3):
        assert borders.find_next(row) == min((start for start in starts if start >= row), default=len(keys)), row
    assert [*borders.list_all()] == [(row, ids[row]) for row in starts]


# type of query_id, ids
KINDS = [
    (pa.string(), ["a", "b", "c", "ä"]),
    (pa.int64(), [3, 1, 2, -1]),
    (CODED, ["a", "b", "c", "d"]),
    (pa.binary(), [b"a", b"b", b"\xff", b""]),
    (pa.large_string(), ["a", None, "b", None]),
    (pa.string(), ["only"]),
    (pa.string(), [None]),
]
BYTES = {b"a": "a", b"b": "b", b"\xff": "0xff", b"": "", None: None}


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("kind, names", KINDS, ids=["str", "int", "coded", "bytes", "nulls", "one query", "no query"])
def test_queries_begin_where_the_id_changes(kind: pa.DataType, names: list[Any], seed: int, tmp_path: Path) -> None:
    rng = random.Random(seed)
    ids = draw_ids(rng, rng.choice([1, 2, 40, 150]), names)
    path = write_groups(tmp_path / "a.parquet", {"q": pa.array(ids, kind)}, draw_groups(rng, len(ids)))
    written = [BYTES[id] if isinstance(id, bytes | None) else str(id) for id in ids]
    check_borders(read_borders(path, query_id="q", query="text"), ids, written, rng)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("names", [["query"], ["query", "instruction"]], ids=["query", "and instruction"])
def test_without_an_id_a_query_begins_where_its_texts_change(seed: int, names: list[str], tmp_path: Path) -> None:
    rng = random.Random(seed)
    texts = {name: draw_ids(rng, 60, ["x", "y", "z"]) for name in ("query", "instruction")}
    table = {name: pa.array(column) for name, column in texts.items()}
    path = write_groups(tmp_path / "a.parquet", table, draw_groups(rng, 60))
    keys = [*zip(*(texts[name] for name in names), strict=True)]

    def hash_text(text: str) -> str:
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()

    ids = [hash_text(hash_text(key[0]) + key[1]) if len(key) == 2 else hash_text(key[0]) for key in keys]
    check_borders(read_borders(path, **dict(zip(names, names, strict=True))), keys, ids, rng)


def test_a_query_may_fill_more_than_a_batch(tmp_path: Path) -> None:
    ids = [7] * (queries.BATCH_ROWS + 500) + [8, 9] + [9] * queries.BATCH_ROWS
    path = write_groups(tmp_path / "a.parquet", {"q": pa.array(ids)}, [])
    borders = read_borders(path, query_id="q")
    first = queries.BATCH_ROWS + 500
    assert [*borders.list_all()] == [(0, "7"), (first, "8"), (first + 1, "9")]
    assert [borders.find_next(row) for row in (0, 1, first, first + 2)] == [0, first, first, len(ids)]


def test_a_file_without_rows_has_no_queries(tmp_path: Path) -> None:
    borders = read_borders(write_groups(tmp_path / "a.parquet", {"q": pa.array([], pa.string())}, []), query_id="q")
    assert [*borders.list_all()] == [] and borders.find_next(0) == 0


def test_the_ids_of_a_row_group_are_read_once_and_only_where_they_are_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, read_batches = list[int](), queries.read_batches

    def note(path: str, size: int, ranges: Any, groups: range, names: list[str], *given: Any) -> Any:
        read.extend(groups)
        assert names == ["q"]
        return read_batches(path, size, ranges, groups, names, *given)

    monkeypatch.setattr(queries, "read_batches", note)
    ids = pa.array([id for id in "aabbccddee" for _ in range(2)])
    borders = read_borders(write_groups(tmp_path / "a.parquet", {"q": ids, "query": ids}, [4] * 4), query_id="q")
    assert [borders.find_next(row) for row in (9, 10, 11)] == [12, 12, 12]
    assert sorted(read) == [2, 3]
    assert len([*borders.list_all()]) == 5 and sorted(read) == [0, 1, 2, 3, 4]


# Units


def draw_file(rng: random.Random, folder: Path) -> tuple[str, list[str]]:
    """A file of pairs, and the ids of its queries."""
    rows = rng.choice([1, 20, 50])
    ids = draw_ids(rng, rows, [f"q{i}" for i in range(40)])
    texts = pa.array([rng.randbytes(rng.choice([2, 20])).hex() for _ in ids])
    columns = {"query_id": pa.array(ids), "query": pa.array(ids), "doc": texts, "score": pa.array([1.0] * rows)}
    return write_groups(folder / "a.parquet", columns, draw_groups(rng, rows)), ids


def draw_sizes(rng: random.Random) -> Sizes:
    return Sizes(part_bytes=rng.choice([1500, 6000, 2**26]), split_bytes=rng.choice([1, 500, 2**28]))


def list_units(splits: Iterable[Any]) -> list[Unit]:
    return sorted((unit for split in splits for unit in split.units), key=lambda unit: (unit.first, unit.retry))


@pytest.mark.parametrize("seed", range(30))
def test_units_have_whole_queries_and_each_missing_row_once(seed: int, tmp_path: Path, make_config: Make) -> None:
    """For half of the seeds some queries have score files. The units are read, too."""
    rng = random.Random(seed)
    path, ids = draw_file(rng, tmp_path)
    unit_rows, rows, borders = rng.choice([1, 3, 10, 1000]), len(ids), [*list_starts(ids), len(ids)]
    of, scored, names = hash_version(list_inputs([path])[0]), set[int](), []
    for _ in range(rng.randrange(4) if seed % 2 else 0):
        first, stop = sorted(rng.sample(borders, 2))
        names.append(f"f/{name_score_file(Unit(of, rows, first, stop).name, transient=False)}")
        scored |= {*range(first, stop)}
    config = make_config(path, reranker=WHOLE, run={"unit_rows": unit_rows})
    assert sees_queries(config)
    splits, first_file = cut_input(config, draw_sizes(rng), names)
    units = list_units(splits)
    assert [row for unit in units for row in range(unit.first, unit.stop)] == [
        row for row in range(rows) if row not in scored
    ]
    assert {row for unit in units for row in (unit.first, unit.stop)} <= {*borders}
    for split in splits:
        for unit, after in pairwise(split.units):
            assert unit.size >= unit_rows or unit.stop < after.first, "a small unit is the last of its range"
        for unit, table in read_units(split, first_file.columns):
            assert table["row"].to_pylist() == [*range(unit.first, unit.stop)]
            assert table["query_id"].to_pylist() == ids[unit.first : unit.stop]
    for unit in units:
        last = max(start for start in borders if start < unit.stop)
        assert last < unit.first + unit_rows, "no query more than it needs"


@pytest.mark.parametrize("seed", range(20))
def test_a_retry_never_splits_a_query(seed: int, tmp_path: Path, make_config: Make) -> None:
    """Some rows of queries that failed may not be scored again, for they have no text."""
    rng = random.Random(seed)
    path, ids = draw_file(rng, tmp_path)
    unit_rows, rows, starts = rng.choice([1, 3, 10, 1000]), len(ids), list_starts(ids)
    sizes = [stop - start for start, stop in pairwise([*starts, rows])]
    cut = rng.choice([*starts, rows])  # the rows before it have scores, or failed
    name = name_score_file(Unit(hash_version(list_inputs([path])[0]), rows, 0, cut).name, transient=True)
    failed = {
        row
        for start, size in zip(starts, sizes, strict=True)
        if start < cut and rng.random() < 0.3
        for row in rng.sample(range(start, start + size), rng.randint(1, size))
    }
    config = make_config(path, reranker=WHOLE, run={"unit_rows": unit_rows, "retry_failed": True})
    splits, first_file = cut_input(config, draw_sizes(rng), [f"f/{name}"] if cut else [], failed)
    units = list_units(splits)
    assert [row for unit in units if not unit.retry for row in range(unit.first, unit.stop)] == [*range(cut, rows)]
    again = [unit for unit in units if unit.retry]
    assert {unit.retry for unit in again} <= {1} and len({unit.name for unit in units}) == len(units)
    for start, size in zip(starts, sizes, strict=True):
        wanted = failed & {*range(start, start + size)}
        found = [unit for unit in again if wanted & {*range(unit.first, unit.stop)}]
        assert len(found) == bool(wanted)
        assert all(wanted <= {*range(unit.first, unit.stop)} for unit in found)
    assert all({unit.first, unit.stop - 1} <= failed for unit in again)
    assert all(unit.size < unit_rows + max(sizes) for unit in again)
    for split in splits:
        for unit, table in read_units(split, first_file.columns):
            assert table["row"].to_pylist() == [*range(unit.first, unit.stop)]


def align(row: int) -> int:
    """Queries begin at 0, 3, 10 and 12, and 20 is the end."""
    return next((start for start in (0, 3, 10, 12) if start >= row), 20)


# missing, start, stop, unit_rows -> units
CUT_MISSING = [
    ([range(20)], 0, 20, 1, [(0, 3), (3, 10), (10, 12), (12, 20)]),
    ([range(20)], 0, 20, 3, [(0, 3), (3, 10), (10, 20)]),
    ([range(20)], 0, 20, 4, [(0, 10), (10, 20)]),
    ([range(20)], 3, 12, 8, [(3, 12)]),
    ([range(3), range(10, 20)], 0, 20, 9, [(0, 3), (10, 20)]),
    ([range(3), range(10, 20)], 3, 10, 9, []),
]  # fmt: skip


@pytest.mark.parametrize("missing, start, stop, unit_rows, units", CUT_MISSING)
def test_units_of_missing_queries(
    missing: list[range], start: int, stop: int, unit_rows: int, units: list[tuple[int, int]]
) -> None:
    assert [*cut_missing(missing, start, stop, unit_rows, align)] == units


# failed, start, stop, unit_rows -> units
CUT_FAILED = [
    ({1, 4, 9, 11}, 0, 20, 1, [(1, 2), (4, 10), (11, 12)]),
    ({1, 4, 9, 11}, 0, 20, 5, [(1, 2), (4, 10), (11, 12)]),
    ({1, 4, 9, 11, 15}, 0, 20, 10, [(1, 10), (11, 16)]),
    ({1, 4, 9, 11, 15}, 3, 12, 100, [(4, 12)]),
    (set[int](), 0, 20, 5, []),
]


@pytest.mark.parametrize("failed, start, stop, unit_rows, units", CUT_FAILED)
def test_units_of_failed_queries(
    failed: set[int], start: int, stop: int, unit_rows: int, units: list[tuple[int, int]]
) -> None:
    assert [*cut_failed(failed, start, stop, unit_rows, align)] == units
