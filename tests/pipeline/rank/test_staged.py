"""pipeline/rank/staged.py: what a stage gives to the next one, and how rests stand behind the last one's rows."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.rank.staged import FinishRows, give_scores

SCHEMA = pa.schema(
    [
        ("query_id", pa.string()),
        ("doc_id", pa.string()),
        ("rank", pa.int32()),
        ("score", pa.float64()),
        ("first_stage_score", pa.float64()),
        ("rerank_score", pa.float64()),
        ("reason", pa.string()),
    ]
)


def make_rows(*rows: str) -> pa.Table:
    """Rows from words: query, document, rank, score or `-`."""
    found = []
    for query, doc, rank, score in map(str.split, rows):
        value = None if score == "-" else float(score)
        found.append({"query_id": query, "doc_id": doc, "rank": int(rank), "score": value, "first_stage_score": 1.0})
    return pa.Table.from_pylist(found, SCHEMA)


@pytest.mark.parametrize(
    "rows, given",
    [
        (["q a 1 .9", "q b 2 .5"], [0.9, 0.5]),
        (["q a 1 .9", "q b 2 .5", "q c 3 -", "q d 4 -"], [0.9, 0.5, 0.5, 0.5]),
        (["q a 1 -", "q b 2 -"], [0, 0]),
        (["p a 1 -3", "q a 1 -", "q b 2 -", "r a 1 2", "r b 2 -"], [-3, 0, 0, 2, 2]),
        ([], []),
    ],
    ids=["all have one", "the lowest for those without", "none has one", "of three queries", "no rows"],
)
def test_a_pair_without_a_score_gives_the_lowest_of_its_query(rows: list[str], given: list[float]) -> None:
    assert give_scores(make_rows(*rows)).to_pylist() == given


def test_the_rests_stand_behind_the_rows_of_the_last_stage(tmp_path: Path) -> None:
    rests = {
        "first": make_rows("p d 4 9", "p e 5 8", "q c 3 9"),
        "second": make_rows("p c 3 -", "q b 2 7"),
    }
    for stage, rows in rests.items():
        (tmp_path / stage / "rest").mkdir(parents=True)
        rows = rows.append_column("stage", pa.repeat(pa.scalar(stage), len(rows)))
        pq.write_table(rows, tmp_path / stage / "rest" / "0.parquet")
    behind = tuple((str(tmp_path / stage), ["", "rest/0.parquet"]) for stage in ("second", "first"))
    own = make_rows("p b 1 .1", "p a 2 -", "q a 1 .3")
    for top_k, expected in (
        (None, "p1b:last p2a:last p3c:second p4d:first p5e:first q1a:last q2b:second q3c:first"),
        (3, "p1b:last p2a:last p3c:second q1a:last q2b:second q3c:first"),
        (1, "p1b:last q1a:last"),
    ):
        found = FinishRows("last", later=False, behind=behind, top_k=top_k)(1, own).to_pylist()
        assert " ".join("{query_id}{rank}{doc_id}:{stage}".format(**row) for row in found) == expected
