"""pipeline/input/parquet.py: the ranges that are fetched, and the values that are read through them.

The reference for every value read is pyarrow.parquet.read_table on the same file.
"""

import datetime
import decimal
import random
from collections.abc import Callable
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.errors import StoreError
from pipeline.input import parquet
from pipeline.input.parquet import SPLIT_BYTES, list_chunk_ranges, plan_ranges, read_batches, read_footer

RANDOM = random.Random(11)


def write(path: Path, table: pa.Table, **options: Any) -> tuple[str, int]:
    """Writes a file and gives its path and size."""
    pq.write_table(table, path, **options)
    return str(path), path.stat().st_size


@cache
def some_types(rows: int) -> pa.Table:
    """Columns of many types, a tenth of each null."""

    def column(kind: pa.DataType, make: Callable[[int], Any]) -> pa.Array:
        return pa.array([None if RANDOM.random() < 0.1 else make(i) for i in range(rows)], kind)

    def text(i: int) -> str:
        return "".join(RANDOM.choices("abc xyzäß\n", k=RANDOM.randrange(40)))

    day = datetime.date(2026, 11, 21)
    return pa.table(
        {
            "int8": column(pa.int8(), lambda i: i % 128),
            "uint64": column(pa.uint64(), lambda i: 2**63 + i),
            "float32": column(pa.float32(), lambda i: i / 4),
            "float64": column(pa.float64(), lambda i: RANDOM.random()),
            "bool": column(pa.bool_(), lambda i: i % 3 == 0),
            "decimal": column(pa.decimal128(12, 3), lambda i: decimal.Decimal(i) / 8),
            "date": column(pa.date32(), lambda i: day + datetime.timedelta(i)),
            "timestamp": column(pa.timestamp("us", "UTC"), lambda i: i * 1_000_003),
            "string": column(pa.string(), text),
            "large_string": column(pa.large_string(), text),
            "binary": column(pa.binary(), lambda i: text(i).encode()),
            "fixed": column(pa.binary(4), lambda i: i.to_bytes(4, "big")),
            "few": column(pa.dictionary(pa.int32(), pa.string()), lambda i: f"value {i % 5}"),
            "with.dots": column(pa.string(), text),
            "null": pa.nulls(rows),
            "list": column(pa.list_(pa.int64()), lambda i: list(range(i % 4))),
            "struct": column(pa.struct([("a", pa.int64()), ("b", pa.string())]), lambda i: {"a": i, "b": text(i)}),
        }
    )


def read_all(
    path: str, size: int, columns: list[str], row_groups: range | None = None, split_bytes: int = SPLIT_BYTES
) -> tuple[pa.Table, list[int]]:
    """All batches of read_batches, over the ranges of plan_ranges, as one table; and their lengths."""
    footer, begin = read_footer(path, size)
    groups = range(footer.num_row_groups) if row_groups is None else row_groups
    decoded = sum(footer.row_group(i).total_byte_size for i in groups)
    ranges = plan_ranges(list_chunk_ranges(footer, groups, columns), (begin, size), decoded, split_bytes)
    batches = list(read_batches(path, size, ranges, groups, columns, 100))
    return pa.Table.from_batches(batches), [len(batch) for batch in batches]


class Fetches:
    """The ranges that were fetched, and the most bytes held at a time."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch):
        self.ranges: list[tuple[int, int]] = []
        self.most_held = 0
        fetch = parquet._RangeFile._fetch

        def fetched(file: Any, start: int, stop: int) -> memoryview:
            self.ranges.append((start, stop))
            self.most_held = max(self.most_held, sum(map(len, file._held.values())) + stop - start)
            return fetch(file, start, stop)

        monkeypatch.setattr(parquet._RangeFile, "_fetch", fetched)


# Ranges


def test_chunks_of_the_columns_in_use_begin_at_their_dictionary(tmp_path: Path) -> None:
    table = pa.table(
        {"a": ["x", "y"] * 500, "b": range(1000), "a.b": range(1000), "c": [{"d": i} for i in range(1000)]}
    )
    path, size = write(tmp_path / "x.parquet", table, row_group_size=500, use_dictionary=["a"])
    footer, begin = read_footer(path, size)
    every = list_chunk_ranges(footer, range(2), ["a", "b", "a.b", "c"])
    # In pyarrow's files the chunks lie one behind the other, from the magic number to the footer.
    assert [every[0][0], every[-1][1]] == [4, begin]
    assert all(before[1] == after[0] for before, after in pairwise(every))
    assert list_chunk_ranges(footer, range(1, 2), ["b"]) == [every[5]]
    assert list_chunk_ranges(footer, range(2), ["a.b"]) == [every[2], every[6]]
    assert list_chunk_ranges(footer, range(2), ["c"]) == [every[3], every[7]]


# Chunks, footer, and the ranges: gaps are closed, the smallest first, while they add up to at most a fifth of what is
# in use. Reckoned by hand.
MERGED = [
    # Side by side: one range.
    ([(4, 100), (100, 200)], (200, 250), [(4, 250)]),
    # 96 + 100 + 54 = 250 bytes in use, so 50 to spare: gaps of 12 and 38 take all of it.
    ([(4, 100), (112, 212)], (250, 304), [(4, 304)]),
    # One byte more, and the larger gap stays open.
    ([(4, 100), (112, 212)], (251, 305), [(4, 212), (251, 305)]),
    # 300 in use, 60 to spare: 20 and 25 are closed, then 15 are left and 40 stays open, wherever it lies.
    ([(0, 100), (140, 200), (220, 300)], (325, 385), [(0, 100), (140, 385)]),
    ([(0, 100), (120, 180), (220, 300)], (325, 385), [(0, 180), (220, 385)]),
    # A wide column between any two of those in use: nothing is closed.
    ([(0, 100), (1000, 1100), (2000, 2100)], (3000, 3100), [(0, 100), (1000, 1100), (2000, 2100), (3000, 3100)]),
    # A chunk without bytes, of a row group without rows.
    ([(0, 100), (100, 100)], (100, 110), [(0, 110)]),
]


@pytest.mark.parametrize("chunks, footer, ranges", MERGED)
def test_small_gaps_are_fetched_to_save_requests(chunks: Any, footer: Any, ranges: Any) -> None:
    assert plan_ranges(chunks, footer, decoded_bytes=1000) == ranges


def test_a_split_above_the_bound_is_fetched_in_windows_at_most_four_a_bound() -> None:
    # 3 bounds make 12 requests: listing, footer when planning, footer again, and 9 windows. 8 parts of the 800 bytes
    # are 100 each; the two small columns share one. (9 parts of 89 would be cut into 10.)
    assert plan_ranges([(4, 14), (14, 54), (54, 804)], (804, 850), decoded_bytes=2500, split_bytes=1000) == [
        (4, 54),
        *((at, min(at + 100, 804)) for at in range(54, 804, 100)),
        (804, 850),
    ]


@pytest.mark.parametrize("shares", [2, 3, 7, 40])
def test_windows_cover_each_chunk_once_within_the_requests_allowed(shares: int) -> None:
    for _ in range(50):
        bounds = [4]
        for _ in range(7):
            bounds.append(bounds[-1] + RANDOM.choice([1, 20, 900, 4000]))
        chunks = list(pairwise(bounds))
        end = (bounds[-1], bounds[-1] + 50)
        *windows, footer = plan_ranges(chunks, end, decoded_bytes=1000 * shares, split_bytes=1000)
        assert len(windows) + 3 <= 4 * shares
        assert footer == end
        assert sorted(at for window in windows for at in range(*window)) == list(range(bounds[0], bounds[-1]))


# Reading


@pytest.mark.parametrize("compression", ["none", "snappy", "zstd"])
@pytest.mark.parametrize("dictionary", [True, False])
@pytest.mark.parametrize("page", ["1.0", "2.0"])
def test_batches_hold_what_read_table_reads(tmp_path: Path, compression: str, dictionary: bool, page: str) -> None:
    table = some_types(1000)
    options: dict[str, Any] = {"compression": compression, "use_dictionary": dictionary, "data_page_version": page}
    path, size = write(tmp_path / "x.parquet", table, row_group_size=300, data_page_size=512, **options)
    read, lengths = read_all(path, size, table.column_names)
    expected = pq.read_table(path)
    assert read.schema == expected.schema
    assert read.to_pydict() == expected.to_pydict()  # as values: each batch of a dictionary has one of its own
    assert max(lengths) <= 100


def test_some_columns_of_some_row_groups_are_those_of_read_table(tmp_path: Path) -> None:
    table = some_types(1000)
    path, size = write(tmp_path / "x.parquet", table, row_group_size=150)
    for columns in (["float32"], ["string", "bool", "with.dots"], ["struct"], ["int8", "struct"]):
        read, _ = read_all(path, size, columns, range(2, 4))
        assert read.select(columns).equals(pq.read_table(path, columns=columns).select(columns).slice(300, 300))


def long_texts(rows: int) -> pa.Table:
    """Compressed, the text is of many MiB, more than pyarrow reads at once, and the columns beside it are small."""
    return pa.table(
        {
            "unused": [RANDOM.randbytes(300) for _ in range(rows)],
            "id": [f"d{i}" for i in range(rows)],
            "doc": [RANDOM.randbytes(400).hex() for _ in range(rows)],
            "score": [RANDOM.random() for _ in range(rows)],
        }
    )


def test_each_range_is_fetched_once_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = long_texts(9000)
    path, size = write(tmp_path / "x.parquet", table, row_group_size=3000)
    footer, begin = read_footer(path, size)
    ranges = plan_ranges(list_chunk_ranges(footer, range(1), ["id", "doc", "score"]), (begin, size), 1)
    assert len(ranges) == 2
    fetches = Fetches(monkeypatch)
    read = pa.Table.from_batches(read_batches(path, size, ranges, range(1), ["id", "doc", "score"], 100))
    assert read.equals(table.drop_columns("unused").slice(0, 3000))
    assert sorted(fetches.ranges) == ranges


def test_bytes_outside_the_ranges_are_fetched_when_they_are_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = pa.table({"a": ["x"] * 10, "b": ["y"] * 10})
    path, size = write(tmp_path / "x.parquet", table)
    footer, begin = read_footer(path, size)
    (a, b), fetches = list_chunk_ranges(footer, range(1), ["a", "b"]), Fetches(monkeypatch)
    read = pa.Table.from_batches(read_batches(path, size, [a, (begin, size)], range(1), ["a", "b"], 100))
    assert read.equals(table)
    assert sum(stop - start for start, stop in fetches.ranges if start >= b[0] and stop <= b[1]) == b[1] - b[0]


def test_a_row_group_above_the_bound_streams_in_bounded_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = long_texts(20_000)
    path, size = write(tmp_path / "x.parquet", table, row_group_size=20_000)
    footer, _ = read_footer(path, size)
    bound = 2**20
    fetches = Fetches(monkeypatch)
    read, _ = read_all(path, size, ["id", "doc", "score"], split_bytes=bound)
    assert read.equals(table.drop_columns("unused"))
    decoded = footer.row_group(0).total_byte_size
    assert decoded > 20 * bound
    assert len(fetches.ranges) == len(set(fetches.ranges))
    assert len(fetches.ranges) + 2 <= 4 * -(-decoded // bound)
    # At a time: a window of each column, of a quarter of the bound or a little more.
    assert fetches.most_held < 3 * 0.35 * bound


def test_a_file_that_became_shorter_is_an_error_that_names_it(tmp_path: Path) -> None:
    path, size = write(tmp_path / "x.parquet", long_texts(100))
    footer, begin = read_footer(path, size)
    ranges = plan_ranges(list_chunk_ranges(footer, range(1), ["doc"]), (begin, size), 1)
    Path(path).write_bytes(Path(path).read_bytes()[:-100])
    with pytest.raises(StoreError, match=r"x\.parquet: asked for bytes .* it was changed or cut short"):
        list(read_batches(path, size, ranges, range(1), ["doc"], 100))
