"""The demo's report, on small ranked tables whose measures are worked out by hand."""

import json
from math import log2

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from ir_measures import RR, R, nDCG

from jobs.demo.measures import FIRST_STAGE, FUSION, RERANKER, first_relevant, mean, measure, read_qrels, runs
from jobs.demo.show import pick, report, show, side_by_side

SCORES = [(name, pa.float64()) for name in ("score", "first_stage_score", "rerank_score")]
SCHEMA = pa.schema(
    [("query_id", pa.string()), ("doc_id", pa.string()), ("rank", pa.int32()), *SCORES, ("reason", pa.string())]
)
ROWS = [
    dict(zip(SCHEMA.names, row, strict=True))
    for row in [
        ("q1", "a", 1, 0.9, 5.0, 0.7, None),
        ("q1", "b", 2, 0.5, 7.0, 0.2, None),
        ("q1", "d", 3, None, 9.0, None, "empty text"),
        ("q1", "c", 4, None, 6.0, None, "empty text"),
        ("q2", "x", 1, 0.4, 2.0, 0.4, None),
        ("q2", "z", 2, 0.3, 2.0, 0.4, None),
        ("q2", "y", 3, 0.1, 3.0, 0.1, None),
    ]
]
QRELS = {"q1": {"a": 2, "b": 1}, "q2": {"y": 1, "lost": 1}, "q3": {"x": 2}}


def test_runs():
    assert runs(ROWS) == {
        FIRST_STAGE: {"q1": ["d", "b", "c", "a"], "q2": ["y", "x", "z"]},
        RERANKER: {"q1": ["a", "b", "d", "c"], "q2": ["x", "z", "y"]},  # no score: last, in first-stage order
        FUSION: {"q1": ["a", "b", "d", "c"], "q2": ["x", "z", "y"]},
    }


def test_a_reranker_score_of_zero_is_a_score():
    rows = [
        {"query_id": "q", "doc_id": "zero", "rank": 1, "first_stage_score": 1.0, "rerank_score": 0.0},
        {"query_id": "q", "doc_id": "none", "rank": 3, "first_stage_score": 9.0, "rerank_score": None},
        {"query_id": "q", "doc_id": "less", "rank": 2, "first_stage_score": 1.0, "rerank_score": -0.5},
    ]
    assert runs(rows)[RERANKER] == {"q": ["zero", "less", "none"]}


def test_measures_are_over_all_judged_queries():
    values = measure(runs(ROWS)[FIRST_STAGE], QRELS)
    best_q1, best_q2 = 2 / log2(2) + 1 / log2(3), 1 / log2(2) + 1 / log2(3)
    assert values[nDCG @ 10] == pytest.approx(
        {"q1": (1 / log2(3) + 2 / log2(5)) / best_q1, "q2": (1 / log2(2)) / best_q2, "q3": 0}
    )
    assert values[RR @ 10] == pytest.approx({"q1": 1 / 2, "q2": 1, "q3": 0})
    assert values[R @ 10] == pytest.approx({"q1": 2 / 2, "q2": 1 / 2, "q3": 0})
    assert mean(values[RR @ 10]) == pytest.approx((1 / 2 + 1 + 0) / 3)


def test_measures_stop_at_rank_10():
    run = {"q": [f"d{rank}" for rank in range(1, 13)]}
    values = measure(run, {"q": {"d10": 1, "d11": 1}})
    assert values[RR @ 10] == pytest.approx({"q": 1 / 10})
    assert values[R @ 10] == pytest.approx({"q": 1 / 2})
    assert values[nDCG @ 10] == pytest.approx({"q": (1 / log2(11)) / (1 / log2(2) + 1 / log2(3))})


def test_first_relevant():
    assert first_relevant(["a", "b", "c"], {"b": 1, "c": 2}) == "2"
    assert first_relevant(["a"], {"a": 0, "b": 1}) == "none"


def test_pick_takes_the_largest_gain_the_middle_and_the_largest_loss():
    before = {"q1": 0.5, "q2": 0.5, "q3": 0.5, "q4": 0.5, "q5": 0.5}
    after = {"q1": 0.4, "q2": 0.9, "q3": 0.5, "q4": 0.6, "q5": 0.9}
    assert pick(before, after) == [
        ("largest gain", "q2"),  # as large as q5's
        ("middle of 4 that changed, 3 up and 1 down", "q4"),
        ("largest loss", "q1"),
    ]


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        ({"q1": 0.5, "q2": 0.5}, []),
        ({"q1": 0.6, "q2": 0.5}, [("largest gain", "q1")]),
        ({"q1": 0.6, "q2": 0.7}, [("largest gain", "q2"), ("smallest gain", "q1")]),
        ({"q1": 0.1, "q2": 0.4}, [("smallest loss", "q2"), ("largest loss", "q1")]),
    ],
)
def test_pick_does_not_call_a_gain_a_loss(after, expected):
    assert pick({"q1": 0.5, "q2": 0.5}, after) == expected


def test_side_by_side():
    assert side_by_side(["a", "bb"], ["bb"], {"a": 2, "bb": 1}, width=40) == [
        "first stage (BM25)    fusion",
        "------------------    ------------------",
        "1. ** a               1. *  bb",
        "2. *  bb",
    ]


def test_side_by_side_keeps_to_its_width():
    lines = side_by_side(["x" * 200], ["y" * 200], {}, width=80)
    assert max(map(len, lines)) == 80
    assert lines[2].count("...") == 2


def test_report():
    text = report(ROWS, {"q1": "first question", "q2": "second question"}, QRELS, width=80)
    lines = text.splitlines()
    assert "3 queries, 7 pairs, 2 of them without a reranker score" in lines
    assert lines[3].split() == ["nDCG@10", "RR@10", "R@10"]
    #       RR@10 of the queries: 1/2, 1, 0 in the first stage; 1, 1/3, 0 after. R@10: 2/2, 1/2, 0 in all
    assert lines[4].split()[-2:] == ["0.500", "0.500"]
    assert lines[5].split()[-2:] == ["0.444", "0.500"]
    assert lines[6].split()[-2:] == ["0.444", "0.500"]
    assert "BM25 finds 50% of a query's relevant documents; reranking cannot find more." in lines
    gain, loss = lines.index("q1  first question"), lines.index("q2  second question")
    assert lines[gain + 1].startswith("     largest gain: nDCG@10 0.")
    assert lines[gain + 2] == "     first relevant document: rank 2 -> 1"
    assert lines[loss + 1] == "     largest loss: nDCG@10 0.613 -> 0.307"
    assert lines[loss + 2] == "     first relevant document: rank 1 -> 3"
    assert max(map(len, lines)) <= 80


def test_show_reads_the_parts_that_the_manifest_names(tmp_path, capsys):
    output = tmp_path / "output"
    (output / "ranked").mkdir(parents=True)
    parts = ["ranked/part-00000-ab12.parquet", "ranked/part-00001-ab12.parquet"]
    for part, rows in zip(parts, [ROWS[:4], ROWS[4:]], strict=True):
        pq.write_table(pa.Table.from_pylist(rows, SCHEMA), output / part)
    pq.write_table(pa.Table.from_pylist(ROWS[:1], SCHEMA), output / "ranked/part-00000-0ld.parquet")
    (output / "manifest.json").write_text(json.dumps({"parts": parts}))
    pq.write_table(pa.table({"query_id": ["q1", "q2"], "query": ["first", "second"]}), tmp_path / "pairs.parquet")
    judged = "".join(f"{query}\t{doc}\t{grade}\n" for query, grades in QRELS.items() for doc, grade in grades.items())
    (tmp_path / "qrels.tsv").write_text("query_id\tdoc_id\trelevance\n" + judged)
    assert read_qrels(tmp_path / "qrels.tsv") == QRELS
    show(tmp_path, output)
    printed = capsys.readouterr().out
    assert "3 queries, 7 pairs" in printed
    assert f"  result      {output / parts[1]}\n" in printed
    assert "0ld" not in printed
