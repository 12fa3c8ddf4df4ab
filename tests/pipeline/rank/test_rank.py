"""Ranked rows are in one order only, whatever the order in which score rows come."""

import random
from itertools import groupby

import pyarrow as pa
import pytest

from pipeline.config import Fusion
from pipeline.fusion import METHODS
from pipeline.rank.rank import rank
from pipeline.score.files import get_schema
from tests.formulas import REPEATED, Row, ranked_in_plain_python

SCHEMA = get_schema(explain=False)


def score_rows(text: str) -> pa.Table:
    """Score rows from lines of `row query_id doc_id first_stage_score rerank_score [reason]`, all of file 0.

    `-` stands for null. A row without a reranker score is a failed one, a row whose reason begins with `no` a reject.
    """
    rows = []
    for line in text.strip().splitlines():
        row, query, doc, first, rerank, *reason = (None if word == "-" else word for word in line.split(maxsplit=5))
        why = reason[0] if reason else None
        kind = "reject" if why and why.startswith("no") else "ok" if rerank else "permanent"
        rows.append(
            {
                "file": 0,
                "row": int(row or 0),
                "texts": int(row or 0).to_bytes(16),
                "query_id": query,
                "doc_id": doc,
                "first_stage_score": float(first) if first else None,
                "rerank_score": float(rerank) if rerank else None,
                "kind": kind,
                "reason": why,
            }
        )
    return pa.Table.from_pylist(rows, SCHEMA)


def order(ranked: pa.Table) -> dict[str, list[str]]:
    """The doc_ids of each query, in the order of the table."""
    rows = ranked.to_pylist()
    return {query: [row["doc_id"] for row in group] for query, group in groupby(rows, lambda row: row["query_id"])}


def replace(rows: pa.Table, name: str, values: pa.Array) -> pa.Table:
    return rows.set_column(rows.schema.get_field_index(name), name, values)


RERANKER_ALONE = Fusion(method="none")


def test_fused_score_down_then_first_stage_score_down_then_doc_id_up() -> None:
    rows = score_rows("""
        0 q c 1.0 0.5
        1 q b 2.0 0.5
        2 q a 1.0 0.5
        3 q d 0.0 0.9
    """)
    ranked, _ = rank(rows, RERANKER_ALONE)
    assert order(ranked) == {"q": ["d", "b", "a", "c"]}


def test_ids_go_by_their_bytes() -> None:
    ids = ["é", "a", "Z", "9", "10", "", "ab", "\U0001f600", "\uffee"]  # UTF-16 would put the emoji before U+FFEE
    rows = score_rows("\n".join(f"{i} q {i} 1.0 0.5" for i in range(len(ids))))
    in_order = ["", "10", "9", "Z", "a", "ab", "é", "\uffee", "\U0001f600"]
    docs, _ = rank(replace(rows, "doc_id", pa.array(ids)), RERANKER_ALONE)
    queries, _ = rank(replace(rows, "query_id", pa.array(ids)), RERANKER_ALONE)
    assert docs["doc_id"].to_pylist() == in_order
    assert queries["query_id"].to_pylist() == in_order


@pytest.mark.parametrize(
    "ids",
    [
        ["a", "a\0", "a\0\0", "a\0b", "", "\0"],
        [f"https://example.org/{i * 7919 % 1000}/page" for i in range(300)],
        ["passage_1234567", "passage_12345678", "passage_123456789", "passage_1234567890", "passage_12345678\0"],
        ["x" * n for n in range(40)],
        ["one"],
    ],
    ids=["zero bytes", "long", "one begins the other", "lengths", "one"],
)
def test_ids_of_any_form_go_by_their_bytes(ids: list[str]) -> None:
    rng = random.Random(0)
    rng.shuffle(ids)
    rows = score_rows("\n".join(f"{i} q a 1.0 0.5" for i in range(3 * len(ids))))
    ranked, rejects = rank(replace(rows, "doc_id", pa.array(ids * 3)), RERANKER_ALONE)
    assert ranked["doc_id"].to_pylist() == sorted(ids, key=str.encode)
    assert ranked["row"].to_pylist() == [ids.index(value) for value in sorted(ids, key=str.encode)]
    assert rejects["row"].to_pylist() == list(range(len(ids), 3 * len(ids)))


def test_minus_zero_ties_with_zero() -> None:
    rows = score_rows("""
        0 q b  0.0  0.0
        1 q a -0.0 -0.0
    """)
    ranked, _ = rank(rows, RERANKER_ALONE)
    assert order(ranked) == {"q": ["a", "b"]}


def test_ranks_are_int32_from_1_without_gaps_in_each_query() -> None:
    rows = score_rows("""
        0 q2 a 1.0 0.1
        1 q1 a 1.0 0.1
        2 q2 b 1.0 0.1
        3 q1 b 2.0 -    document is empty
        4 q1 a 9.0 0.9
        5 q2 c 1.0 0.3
        6 q0 a 1.0 0.1
    """)
    ranked, _ = rank(rows, RERANKER_ALONE)
    assert ranked.schema.field("rank").type == pa.int32()
    assert list(zip(*ranked.select(["query_id", "rank", "doc_id"]).to_pydict().values(), strict=True)) == [
        ("q0", 1, "a"),
        ("q1", 1, "a"),
        ("q1", 2, "b"),
        ("q2", 1, "c"),
        ("q2", 2, "a"),
        ("q2", 3, "b"),
    ]


def test_a_ranked_row_keeps_its_scores_and_where_it_came_from() -> None:
    rows = score_rows("""
        7 q a 10.0 0.2
        8 q b 20.0 0.4
        9 q c 50.0 -    document is empty
    """)
    ranked, _ = rank(rows, Fusion(method="minmax", alpha=0.25))
    first = {"query_id": "q", "doc_id": "b", "rank": 1, "score": 0.25 * 1 + 0.75 * 1, "first_stage_score": 20.0}
    last = {"query_id": "q", "doc_id": "c", "rank": 3, "score": None, "first_stage_score": 50.0}
    assert ranked.to_pylist()[0] == first | {"rerank_score": 0.4, "reason": None, "file": 0, "row": 8}
    assert ranked.to_pylist()[2] == last | {"rerank_score": None, "reason": "document is empty", "file": 0, "row": 9}


@pytest.mark.parametrize("method", METHODS)
def test_unscored_pairs_come_after_all_others_in_first_stage_order(method: str) -> None:
    rows = score_rows("""
        0 q a   1.0  -3.0
        1 q c 100.0  -    document is empty
        2 q b  50.0  -    document is empty
        3 q e   2.0  -9.0
        4 q d 100.0  -    prompt cannot fit
    """)
    ranked, _ = rank(rows, Fusion(method=method, alpha=0.2))
    assert order(ranked) == {"q": ["a", "e", "c", "d", "b"]}
    assert [score is None for score in ranked["score"].to_pylist()] == [False, False, True, True, True]


@pytest.mark.parametrize("method", METHODS)
def test_means_spreads_and_ranks_are_those_of_the_scored_pairs(method: str) -> None:
    scored = """
        0 q a 1.0 0.3
        1 q b 2.0 0.1
        2 q c 4.0 0.2
    """
    outlier = "3 q d 1e6 - document is empty"
    alone, _ = rank(score_rows(scored), Fusion(method=method, alpha=0.5))
    with_outlier, _ = rank(score_rows(scored + outlier), Fusion(method=method, alpha=0.5))
    assert with_outlier["score"].to_pylist() == [*alone["score"].to_pylist(), None]


@pytest.mark.parametrize("method", METHODS)
def test_a_query_without_any_reranker_score_is_ranked_by_the_first_stage(method: str) -> None:
    rows = score_rows("""
        0 q1 a 1.0 -   document is empty
        1 q1 b 2.0 -   document is empty
        2 q2 a 1.0 0.5
        3 q3 a 5.0 -   query is empty
    """)
    ranked, _ = rank(rows, Fusion(method=method))
    assert order(ranked) == {"q1": ["b", "a"], "q2": ["a"], "q3": ["a"]}
    assert [score is None for score in ranked["score"].to_pylist()] == [True, True, False, True]


def test_ids_that_only_meet_when_joined_are_not_duplicates() -> None:
    rows = score_rows("""
        0 ab c  1.0 0.1
        1 a  bc 1.0 0.1
    """)
    ranked, rejects = rank(rows, RERANKER_ALONE)
    assert (len(ranked), len(rejects)) == (2, 0)


def test_rejects_keep_their_reason_and_stand_by_file_and_row() -> None:
    rows = score_rows("""
        3 q - 1.0 -   no doc_id
        0 q a 1.0 0.5
        2 - a 1.0 -   no query_id
        4 q a 1.0 0.5
        1 - - -   -   no score
    """)
    ranked, rejects = rank(rows, RERANKER_ALONE)
    assert order(ranked) == {"q": ["a"]}
    assert rejects.to_pylist() == [
        {"file": 0, "row": 1, "reason": "no score"},
        {"file": 0, "row": 2, "reason": "no query_id"},
        {"file": 0, "row": 3, "reason": "no doc_id"},
        {"file": 0, "row": 4, "reason": REPEATED},
    ]


@pytest.mark.parametrize("method", METHODS)
def test_no_rows_and_rows_that_are_all_rejects(method: str) -> None:
    rejects_alone = score_rows("0 - a 1.0 - no query_id")
    full, _ = rank(score_rows("0 q a 1.0 0.5"), Fusion(method=method))
    for rows, rejected in ((SCHEMA.empty_table(), 0), (rejects_alone, 1)):
        ranked, rejects = rank(rows, Fusion(method=method))
        assert ranked.schema == full.schema
        assert (len(ranked), len(rejects)) == (0, rejected)


def random_rows(seed: int) -> list[Row]:
    """Score rows with ties, duplicates, pairs without a score and rejects. No pair of file and row comes twice."""
    rng = random.Random(seed)
    scores = [rng.gauss(0, 1) for _ in range(6)]
    rows = []
    for number in range(300):
        row: Row = {"file": rng.randint(0, 2), "row": number, "texts": number.to_bytes(16)}
        row |= {"kind": "ok", "reason": None}
        row |= {"query_id": f"q{rng.randint(0, 12)}", "doc_id": f"d{rng.randint(0, 40)}"}
        row |= {"first_stage_score": rng.choice(scores), "rerank_score": rng.choice(scores)}
        if rng.random() < 0.15:
            row |= {"rerank_score": None, "kind": "permanent", "reason": "document is empty"}
        if rng.random() < 0.05:
            row |= {"doc_id": None, "rerank_score": None, "kind": "reject", "reason": "doc_id is null"}
        rows.append(row)
    return rows


@pytest.mark.parametrize("alpha", [0.0, 0.2, 0.5, 1.0])
@pytest.mark.parametrize("method", METHODS)
def test_equals_the_ranking_in_plain_python(method: str, alpha: float) -> None:
    for seed in range(5):
        rows = random_rows(seed)
        expected, expected_rejects = ranked_in_plain_python(rows, method, alpha, k=60)
        ranked, rejects = rank(pa.Table.from_pylist(rows, SCHEMA), Fusion(method=method, alpha=alpha))
        assert rejects.to_pylist() == expected_rejects
        for name in ("query_id", "doc_id", "rank", "first_stage_score", "rerank_score", "reason", "file", "row"):
            assert ranked[name].to_pylist() == [row[name] for row in expected], name
        assert ranked["score"].to_pylist() == pytest.approx([row["score"] for row in expected], abs=1e-12)


@pytest.mark.parametrize("method", METHODS)
def test_any_order_of_the_rows_gives_the_same_result_to_the_bit(method: str) -> None:
    rng = random.Random(0)
    rows = pa.Table.from_pylist(random_rows(1), SCHEMA)
    expected = [repr(table.to_pylist()) for table in rank(rows, Fusion(method=method))]  # repr writes every bit
    for _ in range(20):
        shuffled = rows.take(rng.sample(range(len(rows)), len(rows)))
        cut = rng.randint(0, len(rows))
        chunked = pa.concat_tables([shuffled.slice(0, cut), shuffled.slice(cut)])
        assert [repr(table.to_pylist()) for table in rank(chunked, Fusion(method=method))] == expected
