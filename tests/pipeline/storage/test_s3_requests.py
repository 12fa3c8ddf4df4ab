"""What reading an input from S3 costs, as the server counts it.

The bound: four requests a split, and 1.3 times the bytes of the columns in use. Counted is everything that the input is
asked for: the listing, the footers when planning, and every split as its task reads it. A split is at most SPLIT_BYTES of
decoded data, so one row group above that counts as many.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from s3fs import S3FileSystem

from pipeline.config import Config
from pipeline.input import parquet
from pipeline.input.footers import first_schema
from pipeline.input.listing import list_inputs
from pipeline.plan import plan
from pipeline.plan.plan import make_plan, split_cuts, splits_of
from pipeline.score.read import read_units
from tests.s3_counter import Request, recorded

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
    """splits: shares of SPLIT_BYTES. in_use: compressed bytes of the columns in use, as pyarrow reads the footers."""

    requests: list[Request]
    splits: int
    in_use: int

    @property
    def ratio(self) -> float:
        return sum(request.sent for request in self.requests) / self.in_use

    def asked(self, method: str) -> int:
        return sum(request.method == method for request in self.requests)


def cost(config: Config) -> Cost:
    """Reads the whole input as a run does, and checks every row."""
    plan.file_footer.cache_clear()
    rows = 0
    with recorded() as requests:
        files = list_inputs(config.input.path)
        first_schema(files[0])
        made = make_plan(config, files, unit_rows=8192)
        for split in splits_of(made.units):
            for unit, table in read_units(split, made.columns):
                assert table["row"].to_pylist() == list(range(unit.start, unit.stop))
                assert table["kind"].unique().to_pylist() == ["ok"]
                rows += len(table)
    in_use = decoded = 0
    for file in files:
        footer = pq.read_metadata(S3FileSystem().open(file.path))
        rows -= footer.num_rows
        chunks = [
            footer.row_group(i).column(j) for i in range(footer.num_row_groups) for j in range(footer.num_columns)
        ]
        in_use += sum(chunk.total_compressed_size for chunk in chunks if chunk.path_in_schema in NAMES)
        decoded += sum(chunk.total_uncompressed_size for chunk in chunks if chunk.path_in_schema in NAMES)
    assert rows == 0
    splits = max(len(split_cuts(made.units)) - 1, -(-decoded // parquet.SPLIT_BYTES))
    return Cost(requests.all, splits, in_use)


Make = Callable[..., Config]


@pytest.mark.usefixtures("s3_server")
def test_a_file_of_one_split_takes_three_requests(make_config: Make) -> None:
    put("one.parquet", pairs(20_000))
    one = cost(make_config("s3://bucket/one.parquet"))
    assert (one.splits, one.asked("HEAD"), one.asked("GET")) == (1, 1, 2)
    assert one.ratio < 1.1


@pytest.mark.usefixtures("s3_server")
@pytest.mark.parametrize(
    "path, listing",
    [
        ("s3://bucket/seven", 1),
        ("s3://bucket/seven/*.parquet", 6),  # two of them for the mark of an unfinished jobs/prepare.py
        ([f"s3://bucket/seven/{i}.parquet" for i in range(7)], 7),
    ],
    ids=["directory", "glob", "list"],
)
def test_seven_files_take_two_requests_each_and_the_listing(
    make_config: Make, path: str | list[str], listing: int
) -> None:
    for i in range(7):
        put(f"seven/{i}.parquet", pairs(10_000))
    seven = cost(make_config(path))
    assert seven.splits == 7
    assert len(seven.requests) == 7 + 7 + listing <= 4 * seven.splits
    assert seven.ratio < 1.1


@pytest.mark.usefixtures("s3_server")
def test_a_wide_column_among_those_in_use_takes_one_request_more(make_config: Make) -> None:
    columns = pairs(10_000)
    put("wide.parquet", {"text": texts(10_000, 50), **columns, "html": texts(10_000, 50), "raw": texts(10_000, 50)})
    wide = cost(make_config("s3://bucket/wide.parquet"))
    assert (wide.splits, len(wide.requests)) == (1, 4)
    assert wide.ratio < 1.1


@pytest.mark.usefixtures("s3_server")
def test_small_columns_among_those_in_use_are_fetched_with_them(make_config: Make) -> None:
    columns = {"a": pa.array(RANDOM.random(10_000))}
    for name, column in pairs(10_000).items():
        columns |= {name: column, f"after {name}": pa.array(RANDOM.integers(0, 2, 10_000))}
    put("small.parquet", columns, row_group_size=2_000)
    small = cost(make_config("s3://bucket/small.parquet"))
    assert (small.splits, len(small.requests)) == (1, 3)
    assert small.ratio < 1.3


@pytest.mark.usefixtures("s3_server")
def test_with_wide_columns_between_any_two_in_use_the_bytes_hold_and_each_column_is_a_request(
    make_config: Make,
) -> None:
    """The bound of four requests cannot be kept here: an HTTP range is one piece, and there are five, and a footer."""
    columns: dict[str, pa.Array] = {}
    for name, column in pairs(10_000).items():
        columns |= {name: column, f"{name}, vector": texts(10_000, 100), f"{name}, html": texts(10_000, 100)}
    put("between.parquet", columns)
    between = cost(make_config("s3://bucket/between.parquet"))
    assert between.splits == 1
    assert len(between.requests) == 2 + len(NAMES) + 1
    assert between.ratio < 1.3


@pytest.mark.usefixtures("s3_server")
def test_a_file_of_many_splits_takes_two_requests_a_split(make_config: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    put("splits.parquet", pairs(100_000), row_group_size=5_000)
    monkeypatch.setattr(parquet, "SPLIT_BYTES", 2 * 2**20)
    splits = cost(make_config("s3://bucket/splits.parquet"))
    assert splits.splits > 5
    assert len(splits.requests) <= 2 + 2 * splits.splits
    assert splits.ratio < 1.1


@pytest.fixture(scope="module")
def million(s3_server: str) -> str:
    """One row group of a million rows: what pyarrow writes when nobody says otherwise."""
    put("million.parquet", pairs(1_000_000))
    return "s3://bucket/million.parquet"


@pytest.mark.parametrize("split_mib", [256, 100, 40, 10])
def test_a_row_group_of_a_million_rows_keeps_the_bound_as_one_split_and_as_many(
    million: str, make_config: Make, monkeypatch: pytest.MonkeyPatch, split_mib: int
) -> None:
    monkeypatch.setattr(parquet, "SPLIT_BYTES", split_mib * 2**20)
    whole = cost(make_config(million))
    assert whole.splits == {256: 1, 100: 2, 40: 3, 10: 12}[split_mib]
    assert len(whole.requests) <= 4 * whole.splits
    assert whole.ratio < 1.1
    ranges = [request.range for request in whole.requests if request.range]
    assert len(set(ranges)) == len(ranges)
