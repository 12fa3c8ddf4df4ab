"""pipeline/prepare/candidates.py: the best of each query, of one run or fused of several."""

import random
from collections import defaultdict
from typing import Any

import pyarrow as pa
import pytest

from pipeline.prepare.candidates import rank_candidates
from pipeline.prepare.spread import RUN_SCHEMA

Row = tuple[int, str, str, float]


def table(rows: list[Row]) -> pa.Table:
    names = RUN_SCHEMA.names[:4]
    return pa.Table.from_pylist([dict(zip(names, row, strict=True)) for row in rows], RUN_SCHEMA)


def found(rows: list[Row], depth: int = 100, fused: bool = False) -> list[tuple[Any, ...]]:
    result, _ = rank_candidates(table(rows), depth, fused)
    return [tuple(row.values()) for row in result.to_pylist()]


def test_a_run_is_ordered_as_trec_eval_orders_it() -> None:
    rows = [(0, "q2", "a", 1.0), (0, "q10", "é", 2.0), (0, "q10", "z", 2.0), (0, "q10", "b", 3.0), (0, "q10", "Z", 2.0)]
    assert found(rows) == [("q10", "b", 3.0), ("q10", "é", 2.0), ("q10", "z", 2.0), ("q10", "Z", 2.0), ("q2", "a", 1.0)]


def test_the_order_is_the_one_that_pytrec_eval_sees() -> None:
    """With one relevant document, the reciprocal rank says where trec_eval has it."""
    import pytrec_eval

    rng = random.Random(3)
    rows: list[Row] = [(0, "q", f"d{i}", rng.choice([0.5, 1.0, -2.0])) for i in rng.sample(range(1000), 60)]
    run = {"q": {doc: score for _, _, doc, score in rows}}
    for place, (_, doc, _) in enumerate(found(rows), 1):
        measured = pytrec_eval.RelevanceEvaluator({"q": {doc: 1}}, {"recip_rank"}).evaluate(run)
        assert measured["q"]["recip_rank"] == pytest.approx(1 / place)


def test_depth_is_of_each_query() -> None:
    rows: list[Row] = [(0, f"q{q}", f"d{i}", float(-i)) for q in range(3) for i in range(q + 1)]
    result, counts = rank_candidates(table(rows), 2, False)
    assert [(row["query_id"], row["doc_id"]) for row in result.to_pylist()] == [
        ("q0", "d0"),
        ("q1", "d0"),
        ("q1", "d1"),
        ("q2", "d0"),
        ("q2", "d1"),
    ]
    assert counts == {"rows_beyond_depth": 1, "repeated_rows": 0}


def test_of_rows_with_the_same_ids_the_best_stands() -> None:
    rows = [(0, "q", "a", 1.0), (0, "q", "b", 2.0), (0, "q", "a", 3.0), (0, "q", "a", 1.0)]
    result, counts = rank_candidates(table(rows), 100, False)
    assert result.to_pylist() == [
        {"query_id": "q", "doc_id": "a", "score": 3.0},
        {"query_id": "q", "doc_id": "b", "score": 2.0},
    ]
    assert counts["repeated_rows"] == 2


def test_several_runs_are_fused_by_reciprocal_rank() -> None:
    rows = [
        (0, "q", "a", 9.0),
        (0, "q", "b", 8.0),
        (0, "q", "c", 7.0),
        (1, "q", "c", 0.9),
        (1, "q", "d", 0.8),
        (1, "q", "c", 0.1),  # again, and worse: it takes no rank
        (1, "q", "a", 0.7),
    ]
    expected = {"a": 1 / 61 + 1 / 63, "c": 1 / 63 + 1 / 61, "b": 1 / 62, "d": 1 / 62}
    result, counts = rank_candidates(table(rows), 3, True)
    assert [(row["doc_id"], row["score"]) for row in result.to_pylist()] == [
        (doc, pytest.approx(expected[doc], rel=1e-15)) for doc in ("c", "a", "d")
    ]
    assert counts == {"repeated_rows": 1, "shared_rows": 2, "rows_beyond_depth": 1}


@pytest.mark.slow  # numba compiles ranx for 20 s
def test_fusion_is_that_of_ranx() -> None:
    from ranx import Run, fuse

    rng = random.Random(11)
    runs: list[dict[str, dict[str, float]]] = [
        {f"q{q}": {f"d{i}": rng.random() for i in rng.sample(range(40), 15)} for q in range(5)} for _ in range(3)
    ]
    rows: list[Row] = [
        (number, query, doc, score)
        for number, run in enumerate(runs)
        for query, docs in run.items()
        for doc, score in docs.items()
    ]
    rng.shuffle(rows)
    fused = fuse([Run(run) for run in runs], method="rrf", params={"k": 60}).to_dict()
    scores: dict[str, dict[str, float]] = defaultdict(dict)
    for query, doc, score in found(rows, fused=True):
        scores[query][doc] = score
    for query, docs in fused.items():
        assert scores[query] == pytest.approx(dict(docs))
    assert scores.keys() == fused.keys()


def test_a_second_run_that_does_not_know_a_query_changes_nothing_in_its_order() -> None:
    rows = [(0, "q1", "a", 1.0), (0, "q1", "b", 2.0), (1, "q2", "a", 1.0)]
    assert [row[:2] for row in found(rows, fused=True)] == [("q1", "b"), ("q1", "a"), ("q2", "a")]


def test_no_rows_have_no_candidates() -> None:
    for fused in (False, True):
        assert found([], fused=fused) == []
