"""Mixed rankings are a weighted sum of each one's values, query by query."""

import random
from math import nan

import numpy as np
import pyarrow as pa
import pytest

from pipeline.ensemble.mix import CANDIDATE, mix
from pipeline.errors import UsageError
from tests.formulas import FORMULAS

Scores = dict[str, dict[str, float | None]]  # query_id -> doc_id -> score
METHODS = [name for name in FORMULAS if name != "none"]


def table(scores: Scores, first: float | None = None) -> pa.Table:
    rows = [
        {"query_id": query, "doc_id": doc, "score": score, "first_stage_score": first}
        | {"reason": None if score is not None else f"why {doc}"}
        for query, docs in scores.items()
        for doc, score in docs.items()
    ]
    random.Random(0).shuffle(rows)
    return pa.Table.from_pylist(rows, CANDIDATE)


def mixed(rankings: list[Scores], weights: list[float], method: str, k: int = 60) -> list[tuple]:
    names = [f"r{number}" for number in range(len(rankings))]
    rows, _ = mix(names, [*map(table, rankings)], weights, method, k)
    return [(row["query_id"], row["doc_id"], row["rank"], row["score"]) for row in rows.to_pylist()]


def mixed_in_plain_python(rankings: list[Scores], weights: list[float], method: str, k: int = 60) -> list[tuple]:
    rows = []
    for query in sorted({query for scores in rankings for query in scores}):
        docs = sorted({doc for scores in rankings for doc in scores.get(query, {})})
        sums = dict.fromkeys(docs, 0.0)
        known: set[str] = set()
        for scores, weight in zip(rankings, weights, strict=True):
            scored = {doc: score for doc in docs if (score := scores.get(query, {}).get(doc)) is not None}
            known |= scored.keys()
            if not scored:
                continue
            values = dict(zip(scored, FORMULAS[method]([*scored.values()], [*scored.values()], 1.0, k), strict=True))
            for doc in docs:
                sums[doc] += weight * values.get(doc, min(values.values()))
        found = {doc: sums[doc] if doc in known else None for doc in docs}
        order = sorted(docs, key=lambda doc: (found[doc] is None, -(found[doc] or 0), doc))
        rows += [(query, doc, rank, found[doc]) for rank, doc in enumerate(order, 1)]
    return rows


def draw_rankings(seed: int, number: int) -> list[Scores]:
    """Few different scores, and so many ties; candidates and whole queries that are missing, and scores that are."""
    draw = random.Random(seed)
    rankings: list[Scores] = []
    for _ in range(number):
        rankings.append({})
        for query in range(6):
            docs = {
                f"d{doc}": None if draw.random() < 0.1 else draw.choice([-1.5, 0.0, 2.0, draw.gauss(0, 5)])
                for doc in range(12)
                if draw.random() < 0.7
            }
            if draw.random() < 0.85:
                rankings[-1][f"q{query}"] = docs
    return rankings


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("number", [2, 3, 5])
def test_equals_the_sum_written_out(method: str, number: int) -> None:
    for seed in range(8):
        rankings = draw_rankings(seed, number)
        weights = [random.Random(seed).choice([0.5, 1.0, 3.0]) for _ in rankings]
        found, expected = (fuse(rankings, weights, method) for fuse in (mixed, mixed_in_plain_python))
        assert [row[:3] for row in found] == [row[:3] for row in expected]
        numbers = [[nan if row[3] is None else row[3] for row in rows] for rows in (found, expected)]
        assert numbers[0] == pytest.approx(numbers[1], rel=1e-12, abs=1e-12, nan_ok=True)


@pytest.mark.parametrize(
    ("rankings", "expected"),
    [
        pytest.param(
            [{"q": {"a": 3.0, "b": 1.0}}, {"q": {"b": 5.0, "c": 4.0}}],
            [("a", 1.0 + 0.0), ("b", 0.0 + 1.0), ("c", 0.0 + 0.0)],
            id="one that a ranking lacks is as its last one",
        ),
        pytest.param([{"q": {"a": 3.0, "b": 1.0}}, {}], [("a", 1.0), ("b", 0.0)], id="a query that one lacks"),
        pytest.param(
            [{"q": {"a": None, "b": 1.0}}, {"q": {"a": None, "b": 2.0}}],
            [("b", 0.0), ("a", None)],
            id="no score in any",
        ),
        pytest.param([{"q": {"a": None, "b": 7.0}}, {"q": {"a": 2.0}}], [("a", 0.0), ("b", 0.0)], id="a score in one"),
    ],
)
def test_by_hand(rankings: list[Scores], expected: list[tuple]) -> None:
    assert [(doc, score) for _, doc, _, score in mixed(rankings, [1.0, 1.0], "minmax")] == expected


def test_ties_go_by_the_first_stage_then_by_doc_id() -> None:
    one = table({"q": {"a": 1.0, "b": 1.0, "c": 1.0, "é": 1.0}})
    first = {"a": 2.0, "b": 5.0, "c": 2.0, "é": 2.0}
    scores = pa.array([first[doc] for doc in one["doc_id"].to_pylist()])
    one = one.set_column(3, "first_stage_score", scores)
    rows, _ = mix(["one", "two"], [one, table({"q": {"é": 1.0}})], [1.0, 0.0], "zscore", 60)
    assert rows["doc_id"].to_pylist() == ["b", "a", "c", "é"]
    assert rows["first_stage_score"].to_pylist() == [5.0, 2.0, 2.0, 2.0]


def test_a_reason_is_that_of_the_first_ranking_and_only_where_no_score_is() -> None:
    rankings = [table({"q": {"a": None, "b": None}}), table({"q": {"a": 1.0, "b": None, "c": 2.0}})]
    rows, scored = mix(["one", "two"], rankings, [1.0, 1.0], "minmax", 60)
    assert dict(zip(rows["doc_id"].to_pylist(), rows["reason"].to_pylist(), strict=True)) == {
        "a": None, "b": "why b", "c": None,
    }  # fmt: skip
    assert rows["doc_id"].to_pylist() == ["c", "a", "b"]
    assert np.array_equal(scored, [[False, False, False], [True, True, False]])


def test_other_columns_are_kept_and_null_where_the_first_ranking_lacks_the_candidate() -> None:
    one = table({"q": {"a": 1.0}}).append_column("doc", pa.array(["text"], pa.large_string()))
    rows, _ = mix(["one", "two"], [one, table({"q": {"a": 1.0, "b": 2.0}})], [1.0, 1.0], "rrf", 60)
    assert dict(zip(rows["doc_id"].to_pylist(), rows["doc"].to_pylist(), strict=True)) == {"a": "text", "b": None}


def test_a_candidate_twice_in_one_ranking_is_refused() -> None:
    twice = pa.concat_tables([table({"q": {"a": 1.0, "b": 2.0}}), table({"q": {"b": 3.0}})])
    with pytest.raises(UsageError, match=r"^two: has document 'b' of query 'q' twice"):
        mix(["one", "two"], [table({"q": {"a": 1.0}}), twice], [1.0, 1.0], "rrf", 60)


def test_nothing_gives_nothing() -> None:
    rows, scored = mix(["one", "two"], [CANDIDATE.empty_table()] * 2, [1.0, 1.0], "zscore", 60)
    assert (len(rows), scored.shape) == (0, (2, 0))
