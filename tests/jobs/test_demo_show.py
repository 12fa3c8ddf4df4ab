"""The demo's report, on small ranked tables whose measures are worked out by hand."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jobs.demo.show import MEASURES, pick_queries, show, side_by_side, write_report
from pipeline.evaluate.evaluation import evaluate
from pipeline.evaluate.result import read_judged_pairs
from tests.results import SCHEMA, write_result

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


def test_pick_takes_the_largest_gain_the_middle_and_the_largest_loss():
    before = {"q1": 0.5, "q2": 0.5, "q3": 0.5, "q4": 0.5, "q5": 0.5}
    after = {"q1": 0.4, "q2": 0.9, "q3": 0.5, "q4": 0.6, "q5": 0.9}
    assert pick_queries(before, after) == [
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
    assert pick_queries({"q1": 0.5, "q2": 0.5}, after) == expected


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


def test_report(tmp_path: Path):
    evaluation = evaluate("demo", read_judged_pairs(write_result(tmp_path, ROWS), QRELS), QRELS, MEASURES)
    text = write_report(evaluation, {"q1": "first question", "q2": "second question"}, QRELS, width=80)
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


def test_show_prints_the_report_and_where_the_files_are(tmp_path: Path, capsys: pytest.CaptureFixture):
    output = tmp_path / "output"
    write_result(output, ROWS)
    pq.write_table(pa.Table.from_pylist(ROWS[:1], SCHEMA), output / "ranked/part-00000-00000000beef.parquet")
    pq.write_table(pa.table({"query_id": ["q1", "q2"], "query": ["first", "second"]}), tmp_path / "pairs.parquet")
    judged = "".join(f"{query}\t{doc}\t{grade}\n" for query, grades in QRELS.items() for doc, grade in grades.items())
    (tmp_path / "qrels.tsv").write_text("query_id\tdoc_id\trelevance\n" + judged)
    show(tmp_path, output)
    printed = capsys.readouterr().out
    assert "3 queries, 7 pairs" in printed
    assert f"  result      {output / 'ranked/part-00001-0123456789ab.parquet'}\n" in printed
    assert f"  report      {tmp_path / 'report.html'}\n" in printed
    assert "beef" not in printed
    assert "Where documents moved" in (tmp_path / "report.html").read_text()
