"""pipeline/rank/oddities.py against pandas: what is counted of queries that look odd, and what is said of it."""

import random
from typing import Any

import pyarrow as pa
import pytest

from pipeline.config import Fusion
from pipeline.rank.oddities import count_oddities, describe_oddities
from pipeline.rank.part import RankBucket
from pipeline.score.files import get_schema

NOTHING = {"equal": 0, "rows": 10, "queries": 100}


def make(*rows: tuple[Any, ...]) -> pa.Table:
    """Rows of file 0, by query, score, and the hash of the query's text."""
    made = [
        {"file": 0, "row": row, "query_id": query, "doc_id": str(row), "first_stage_score": score, "query_text": text}
        for row, (query, score, text) in enumerate(rows)
    ]
    return pa.Table.from_pylist(
        [row | {"kind": "ok" if row["query_id"] else "reject"} for row in made], get_schema(False)
    )


def test_the_figures_are_those_of_pandas() -> None:
    rng = random.Random(17)
    for _ in range(30):
        rows: list[tuple[Any, ...]] = []
        for number in range(rng.randrange(2, 12)):
            scores = sorted((rng.randrange(4) for _ in range(rng.randrange(1, 5))), reverse=rng.random() < 0.5)
            texts = [number + 7, *([99] if rng.random() < 0.3 else []), *([None] if rng.random() < 0.3 else [])]
            rows += [(f"q{number % 9}", float(score), rng.choice(texts)) for score in scores]
        rows += [(None, 1.0, 5)] * rng.randrange(2)
        table = make(*rows)
        frame = table.to_pandas().dropna(subset="query_id")
        expected = {"several_texts": int((frame.groupby("query_id").query_text.nunique() > 1).sum())}
        step = frame.groupby("query_id").first_stage_score.diff().where(frame.groupby("query_id").row.diff() == 1)
        up, down = ((step * sign > 0).groupby(frame.query_id).sum() for sign in (1, -1))
        expected["in_order"] = int((((up > 1) & (down == 0)) | ((down > 1) & (up == 0))).sum())
        expected["contrary"] = int(((up > 1) & (down == 0)).sum())
        shuffled = table.take(rng.sample(range(len(table)), len(table)))  # units have their own order
        assert count_oddities(table) == count_oddities(shuffled) == expected


def test_rows_of_two_files_are_not_side_by_side() -> None:
    rows = make(("q", 1.0, 1), ("q", 2.0, 1), ("q", 3.0, 1))
    assert count_oddities(rows)["contrary"] == 1
    apart = rows.set_column(0, rows.field(0), pa.array([0, 0, 1], pa.int32()))
    assert count_oddities(apart)["in_order"] == 0


@pytest.mark.parametrize("rows", [[], [("q", 1.0, None)], [(None, 1.0, 1)]])
def test_few_rows_are_not_odd(rows: list[tuple[Any, ...]]) -> None:
    assert {*count_oddities(make(*rows)).values()} == {0}


def test_distances_are_ranked_the_other_way_around_where_the_config_says_so() -> None:
    rows = make(("q", 0.1, 1), ("q", 0.2, 1), ("q", 0.7, 1))
    rows = rows.set_column(rows.column_names.index("rerank_score"), "rerank_score", pa.array([1.0, 1.0, 1.0]))
    for lower_is_better, order, contrary in ((False, ["2", "1", "0"], 1), (True, ["0", "1", "2"], 0)):
        rank = RankBucket(lambda _: rows, Fusion(method="none"), None, lower_is_better=lower_is_better)
        ranked, _, counts = rank(0)
        assert ranked["doc_id"].to_pylist() == order
        assert counts.odd == {"several_texts": 0, "in_order": 1, "contrary": contrary}


LINES: list[tuple[dict[str, int], bool, list[str]]] = [
    ({}, False, []),
    ({"several_texts": 0, "in_order": 8, "contrary": 4}, False, []),
    ({"several_texts": 3}, False, ["3 of 100 queries have rows with different texts under one query_id"]),
    ({"in_order": 8, "contrary": 5}, False, ["in 5 of 8 queries ", "is lower better? input.lower_is_better=true "]),
    ({"in_order": 8, "contrary": 8}, True, ["in 8 of 8 queries ", "is higher better? input.lower_is_better=false "]),
    ({"equal": 4}, False, ["4 of 10 rows (40.0%) are equal to another one"]),
]


@pytest.mark.parametrize(("figures", "lower_is_better", "words"), LINES)
def test_what_is_said(figures: dict[str, int], lower_is_better: bool, words: list[str]) -> None:
    lines = [*describe_oddities(NOTHING | figures, lower_is_better)]
    assert len(lines) == bool(words) and all(word in lines[0] for word in words)
