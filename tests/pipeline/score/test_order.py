"""Pairs that share the first text of the prompt are neighbours; otherwise they keep the order of the input."""

import random
from typing import Literal

import pyarrow as pa
import pytest

from pipeline.score.order import group_by_prefix

UNIT = pa.table(
    {
        "row": [0, 1, 2, 3, 4, 5],
        "query": ["what", "who", "what", None, "who", "what"],
        "doc": ["b", "a", "a", "c", "b", "b"],
    }
)


def test_groups_and_their_rows_keep_the_order_of_the_input() -> None:
    assert group_by_prefix(UNIT, "query")["row"].to_pylist() == [0, 2, 5, 1, 4, 3]
    assert group_by_prefix(UNIT, "doc")["row"].to_pylist() == [0, 4, 5, 1, 2, 3]


def test_rows_stay_whole() -> None:
    assert group_by_prefix(UNIT, "doc").slice(1, 1).to_pylist() == [{"row": 4, "query": "who", "doc": "b"}]


def test_missing_texts_are_a_group_of_their_own() -> None:
    unit = pa.table({"row": [0, 1, 2, 3], "query": pa.array([None, "", None, ""], pa.large_string())})
    assert group_by_prefix(unit, "query")["row"].to_pylist() == [0, 2, 1, 3]


def test_equal_texts_are_one_group_whatever_their_ids() -> None:
    unit = pa.table({"row": [0, 1, 2], "query_id": ["1", "2", "3"], "query": ["a", "b", "a"]})
    assert group_by_prefix(unit, "query")["row"].to_pylist() == [0, 2, 1]


def test_texts_in_several_chunks() -> None:
    unit = pa.concat_tables([UNIT.slice(0, 2), UNIT.slice(2)])
    assert group_by_prefix(unit, "query")["row"].to_pylist() == [0, 2, 5, 1, 4, 3]


def test_an_empty_unit() -> None:
    assert group_by_prefix(UNIT.slice(0, 0), "query").schema == UNIT.schema


@pytest.mark.parametrize("shared", ["query", "doc"])
def test_the_order_equals_that_of_plain_python(shared: Literal["query", "doc"]) -> None:
    rng = random.Random(0)
    rows = [{"row": i, "query": f"q{rng.randint(0, 20)}", "doc": f"d{rng.randint(0, 20)}"} for i in range(500)]
    groups: dict[object, list[dict[str, object]]] = {}
    for row in rows:
        groups.setdefault(row[shared], []).append(row)
    expected = [row for group in groups.values() for row in group]
    assert group_by_prefix(pa.Table.from_pylist(rows), shared).to_pylist() == expected
