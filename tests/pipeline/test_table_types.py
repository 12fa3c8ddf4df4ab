"""`from pipeline import rerank`: what tables of Arrow, pandas and Polars may hold. Nothing here starts an engine."""

from collections.abc import Callable
from datetime import date
from typing import Any

import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline import table
from pipeline.config import Config
from pipeline.errors import UsageError

ROWS: dict[str, list[Any]] = {
    "query_id": ["a", "a", "b"],
    "query": ["x", "x", "y"],
    "doc_id": ["1", "2", "1"],
    "doc": ["one", "two", "one"],
    "score": [3.0, 2.5, 1.0],
}


class Odd:
    """An object that no Arrow type can hold."""


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch, make_config: Callable[..., Config]) -> Callable[..., pa.Table]:
    """The table that a run would read; the run itself does not begin."""

    class Begun(Exception):
        pass

    def read(given: Any, **sections: Any) -> pa.Table:
        written = []

        def run(config: Config, scorer: type) -> None:
            written.append(pq.read_table(config.input.path[0]))
            raise Begun

        monkeypatch.setattr(table, "run", run)
        with pytest.raises(Begun):
            table.rerank(given, make_config("unused", **sections))
        return written[0]

    return read


CATEGORIES = pd.DataFrame(ROWS).astype({"query_id": "category", "doc": "category"})
GOOD: dict[str, Any] = {
    "Arrow": pa.table(ROWS),
    "Arrow batch": pa.RecordBatch.from_pydict(ROWS),
    "Arrow, dictionaries": pa.table(ROWS | {"doc": pa.array(ROWS["doc"]).dictionary_encode()}),
    "Arrow, a union that is not used": pa.table(
        ROWS | {"u": pa.UnionArray.from_sparse(pa.array([0, 0, 0], pa.int8()), [pa.array([1, 2, 3])])}
    ),
    "pandas": pd.DataFrame(ROWS),
    "pandas, categories": CATEGORIES,
    "pandas, an index of ids": pd.DataFrame(ROWS).set_index("query_id"),
    "pandas, an index of ids beside their column": pd.DataFrame(ROWS).set_index("doc_id", drop=False),
    "pandas, an index of two levels, one without a name": pd.DataFrame(ROWS).set_index(
        ["query_id", pd.Index([7, 8, 9])]
    ),
    "pandas, mixed columns that are not used": pd.DataFrame(ROWS | {"m": [1, "a", Odd()], 7: [Odd(), {}, []]}),
    "polars": pl.DataFrame(ROWS),
    "polars, Categorical": pl.DataFrame(ROWS).with_columns(pl.col("query_id", "doc").cast(pl.Categorical)),
    "polars, Enum": pl.DataFrame(ROWS).with_columns(pl.col("query_id").cast(pl.Enum(["b", "a"]))),
    "polars, Enum that is not used": pl.DataFrame(ROWS | {"e": ["k"] * 3}).with_columns(
        pl.col("e").cast(pl.Enum(["k"]))
    ),
    "polars, objects that are not used": pl.DataFrame(ROWS | {"o": pl.Series([Odd()] * 3, dtype=pl.Object)}),
    "polars, objects that are texts": pl.DataFrame(ROWS | {"doc_id": pl.Series(ROWS["doc_id"], dtype=pl.Object)}),
}


@pytest.mark.parametrize("name", GOOD)
def test_what_is_used_is_read_by_its_values(name: str, read: Callable[..., pa.Table]) -> None:
    found = read(GOOD[name])
    assert {column: found[column].to_pylist() for column in found.column_names} == ROWS
    assert not any(pa.types.is_dictionary(field.type) for field in found.schema)


def test_mapped_and_carried_columns_are_used(read: Callable[..., pa.Table]) -> None:
    frame = pl.DataFrame(ROWS | {"key": [7, 8, 9], "day": [date(2026, 1, 1)] * 3, "other": [Odd()] * 3})
    found = read(frame, input={"columns": {"doc_id": "key"}}, output={"columns": ["day"]})
    assert {*found.column_names} == {"query_id", "query", "key", "doc", "score", "day"}


MIXED = pd.DataFrame(ROWS | {"query_id": [1, "a", 2]})
CARRIED, MAPPED = {"output": {"columns": ["m"]}}, {"input": {"columns": {"doc_id": "key"}}}
BAD: list[tuple[Any, dict[str, Any], str]] = [
    (pl.LazyFrame(ROWS), {}, r"^the table is a polars\.LazyFrame, .*collect\(\)"),
    ([ROWS], {}, r"^the table is a builtins\.list, and should be"),
    ("pairs.parquet", {}, r"^the table is a builtins\.str, and should be"),
    (pd.Series([1]), {}, r"^the table is a pandas\.Series"),
    (MIXED, {}, r"^the table: column 'query_id' \(input\.columns\.query_id\): "),
    (pl.DataFrame(ROWS | {"doc_id": pl.Series([1, "a", 2], dtype=pl.Object)}), {}, r"^the table: column 'doc_id' \("),
    (pl.DataFrame(ROWS | {"doc_id": pl.Series([Odd()] * 3, dtype=pl.Object)}), {}, r"^the table: column 'doc_id' \("),
    (pd.DataFrame(ROWS | {"score": [1, "two", 3]}), {}, r"^the table: column 'score' \(input\.columns\.score\): "),
    (
        pd.DataFrame(ROWS | {"m": [1, "a", 2]}),
        {"output": {"columns": ["m"]}},
        r"^the table: column 'm' \(output\.columns\)",
    ),
    (
        pa.table(ROWS).drop_columns("doc"),
        {},
        r"^the table has no column 'doc' \(input\.columns\.doc\); it has query_id, ",
    ),
    (
        pd.DataFrame(ROWS),
        {"input": {"columns": {"doc_id": "key"}}},
        r"^the table has no column 'key' \(input\.columns\.doc_id",
    ),
    (pl.DataFrame(ROWS), {"output": {"columns": ["url"]}}, r"^the table has no column 'url' \(output\.columns\)"),
    (GOOD["Arrow, a union that is not used"], {"output": {"columns": ["u"]}}, r"^the table: .*union"),
]


@pytest.mark.parametrize(("given", "sections", "line"), BAD)
def test_what_cannot_be_taken_is_a_usage_error(
    given: Any, sections: dict[str, Any], line: str, make_config: Callable[..., Config]
) -> None:
    with pytest.raises(UsageError, match=line) as error:
        table.rerank(given, make_config("unused", **sections))
    assert "\n" not in str(error.value)
