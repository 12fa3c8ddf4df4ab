"""The requests and bytes that reading an input from S3 takes, as the server counts them.

The bound: four requests a split, and 1.3 times the bytes of the columns in use. Everything counts: the listing, the
footers, and the splits. A split has at most `split_bytes` of decoded data, so a larger row group counts as several.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from s3fs import S3FileSystem

from pipeline.config import Config
from pipeline.input.footers import read_file_footer
from pipeline.input.parquet import SPLIT_BYTES, read_batches
from pipeline.sizes import Sizes
from tests.pipeline.plan.cut import cut_input
from tests.s3_counter import Request, record_requests

NAMES = ["query_id", "query", "doc_id", "doc", "score"]
RANDOM = np.random.default_rng(3)
VOCABULARY = RANDOM.integers(97, 123, (2000, 10), dtype=np.uint8)  # words of nine letters, and a space
VOCABULARY[:, 9] = 32


def texts(rows: int, words: int) -> pa.Array:
    """Texts of `words` words of 10 bytes, no two alike."""
    data = VOCABULARY[RANDOM.integers(0, len(VOCABULARY), (rows, words))].tobytes()
    offsets = np.arange(0, 10 * words * (rows + 1), 10 * words, dtype=np.int32)
    return pa.Array.from_buffers(pa.string(), rows, [None, pa.py_buffer(offsets), pa.py_buffer(data)])


def pairs(rows: int) -> dict[str, pa.Array]:
    """100 documents a query, of 100 bytes each."""
    query = np.arange(rows) // 100
    return {
        "query_id": pa.array(query).cast(pa.string()),
        "query": texts(rows // 100 + 1, 4).take(pa.array(query)),
        "doc_id": pa.array(np.arange(rows)).cast(pa.string()),
        "doc": texts(rows, 10),
        "score": pa.array(RANDOM.random(rows)),
    }


def put(key: str, columns: dict[str, pa.Array], row_group_size: int | None = None) -> None:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(columns), sink, row_group_size=row_group_size)
    S3FileSystem().pipe_file(f"bucket/{key}", sink.getvalue().to_pybytes())


@dataclass
class Cost:
    """splits: shares of split_bytes. in_use: compressed bytes of the columns in use, as pyarrow reads the footers."""

    requests: list[Request]
    splits: int
    in_use: int

    @property
    def ratio(self) -> float:
        return sum(request.sent for request in self.requests) / self.in_use

    def asked(self, method: str) -> int:
        return sum(request.method == method for request in self.requests)


def read(config: Config, split_bytes: int = SPLIT_BYTES) -> Cost:
    """Reads the whole input as a run does: the footer of each file, then its splits."""
    read_file_footer.cache_clear()
    rows = 0
    with record_requests() as requests:
        splits, first = cut_input(config, Sizes(split_bytes=split_bytes))
        names = list(first.columns.values())
        for split in splits:
            row = split.first_row
            for batch in read_batches(
                split.path, split.size, split.ranges, split.row_groups, names, 8192, split.version
            ):
                assert batch["doc_id"][0].as_py() == str(row)
                row += len(batch)
                rows += len(batch)
    cost = Cost(requests.all, splits=0, in_use=0)
    for path in {split.path for split in splits}:
        footer = pq.read_metadata(S3FileSystem().open(path))
        rows -= footer.num_rows
        row_groups = [footer.row_group(i) for i in range(footer.num_row_groups)]
        columns = [group.column(i) for group in row_groups for i in range(group.num_columns)]
        used = [column for column in columns if column.path_in_schema in NAMES]
        cost.in_use += sum(column.total_compressed_size for column in used)
        cost.splits += -(-sum(column.total_uncompressed_size for column in used) // split_bytes)
    assert rows == 0
    return cost


Make = Callable[..., Config]


@pytest.mark.usefixtures("s3_server")
def test_a_file_of_one_split_takes_three_requests(make_config: Make) -> None:
    put("one.parquet", pairs(20_000))
    one = read(make_config("s3://bucket/one.parquet"))
    assert (one.splits, one.asked("HEAD"), one.asked("GET")) == (1, 1, 2)
    assert one.ratio < 1.1


@pytest.mark.usefixtures("s3_server")
@pytest.mark.parametrize(
    "path, listing",
    [
        ("s3://bucket/seven", 1 + 4),  # four for what a table would have in the bucket
        ("s3://bucket/seven/*.parquet", 4 + 4),
        ([f"s3://bucket/seven/{i}.parquet" for i in range(7)], 7),
    ],
    ids=["directory", "glob", "list"],
)
def test_seven_files_take_two_requests_each_and_the_listing(
    make_config: Make, path: str | list[str], listing: int
) -> None:
    for i in range(7):
        put(f"seven/{i}.parquet", pairs(4_000))
    seven = read(make_config(path))
    assert seven.splits == 7
    assert len(seven.requests) == 7 + 7 + listing <= 4 * seven.splits
    assert seven.ratio < 1.1


@pytest.mark.usefixtures("s3_server")
def test_a_wide_column_among_those_in_use_takes_one_request_more(make_config: Make) -> None:
    columns = pairs(10_000)
    put("wide.parquet", {"text": texts(10_000, 50), **columns, "html": texts(10_000, 50), "raw": texts(10_000, 50)})
    wide = read(make_config("s3://bucket/wide.parquet"))
    assert (wide.splits, len(wide.requests)) == (1, 4)
    assert wide.ratio < 1.1


@pytest.mark.usefixtures("s3_server")
def test_small_columns_among_those_in_use_are_fetched_with_them(make_config: Make) -> None:
    columns = {"a": pa.array(RANDOM.random(10_000))}
    for name, column in pairs(10_000).items():
        columns |= {name: column, f"after {name}": pa.array(RANDOM.integers(0, 2, 10_000))}
    put("small.parquet", columns, row_group_size=2_000)
    small = read(make_config("s3://bucket/small.parquet"))
    assert (small.splits, len(small.requests)) == (1, 3)
    assert small.ratio < 1.3


@pytest.mark.usefixtures("s3_server")
def test_with_wide_columns_between_any_two_in_use_the_bytes_hold_and_each_column_is_a_request(
    make_config: Make,
) -> None:
    """The bound of four requests cannot be kept here: an HTTP range is one piece, and there are five, and a footer."""
    columns: dict[str, pa.Array] = {}
    for name, column in pairs(5_000).items():
        columns |= {name: column, f"{name}, vector": texts(5_000, 30), f"{name}, html": texts(5_000, 30)}
    put("between.parquet", columns)
    between = read(make_config("s3://bucket/between.parquet"))
    assert between.splits == 1
    assert len(between.requests) == 2 + len(NAMES) + 1
    assert between.ratio < 1.3


@pytest.mark.usefixtures("s3_server")
def test_a_file_of_many_splits_takes_two_requests_a_split(make_config: Make) -> None:
    put("splits.parquet", pairs(20_000), row_group_size=1_000)
    cost = read(make_config("s3://bucket/splits.parquet"), split_bytes=400_000)
    assert cost.splits > 5
    assert len(cost.requests) <= 2 + 2 * cost.splits * 1.2  # a split ends with a whole row group, below the bound
    assert cost.ratio < 1.1


@pytest.fixture(scope="module", params=[60_000, pytest.param(1_000_000, marks=pytest.mark.slow)])
def one_row_group(request: pytest.FixtureRequest, s3_server: str) -> tuple[str, int]:
    """A file of a single row group, as pyarrow writes a million rows by default; and its decoded bytes."""
    put("one-row-group.parquet", pairs(request.param), row_group_size=request.param)
    footer = pq.read_metadata(S3FileSystem().open("bucket/one-row-group.parquet"))
    return "s3://bucket/one-row-group.parquet", footer.row_group(0).total_byte_size


@pytest.mark.parametrize("splits", [1, 2, 3, 12])
def test_a_large_row_group_keeps_the_bound_as_one_split_and_as_several(
    one_row_group: tuple[str, int], make_config: Make, splits: int
) -> None:
    path, decoded = one_row_group
    whole = read(make_config(path), split_bytes=-(-decoded // splits))
    assert whole.splits == splits
    assert len(whole.requests) <= 4 * splits
    assert whole.ratio < 1.1
    ranges = [request.range for request in whole.requests if request.range]
    assert len(set(ranges)) == len(ranges)
