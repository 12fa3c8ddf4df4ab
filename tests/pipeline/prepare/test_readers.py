"""pipeline/prepare/readers.py: each format of each kind, as one form of table."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from pipeline.errors import UsageError
from pipeline.prepare.pieces import cut_pieces
from pipeline.prepare.readers import SCHEMAS, read_piece
from pipeline.prepare.sizes import Sizes
from pipeline.prepare.sources import list_sources

Write = Callable[..., str]


def rows(
    kind: str,
    path: str,
    format: str | None = None,
    sizes: Sizes = Sizes(),
    lower_is_better: bool = False,
    **columns: str,
) -> list[dict[str, Any]]:
    found = cut_pieces(list_sources(kind, [path], format, lower_is_better=lower_is_better), columns, sizes)
    tables = [table for piece in found for table in read_piece(piece, sizes)]
    assert all(table.schema == SCHEMAS[kind] for table in tables)
    return [row for table in tables for row in table.to_pylist()]


def without_ranks(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: value for name, value in row.items() if name != "rank"} for row in found]


RUN = [
    {"query_id": "q1", "doc_id": "d1", "score": 2.5},
    {"query_id": "q2", "doc_id": "d1", "score": -0.001},
    {"query_id": "q1", "doc_id": "dé", "score": 1e30},
]
RUNS = {
    "a.trec": "q1 Q0 d1 7 2.5 bm25\nq2\tQ0\td1\t1\t-1e-3\tbm25\r\n\nq1 0 dé 2 1e30 bm25",
    "a.tsv": "doc_id\tquery_id\tscore\nd1\tq1\t2.5\nd1\tq2\t-0.001\ndé\tq1\t1e+30\n",
    "a.jsonl": '{"qid": "q1", "docid": "d1", "score": 2.5}\n{"qid": "q2", "docid": "d1", "score": -0.001}\n'
    '{"qid": "q1", "docid": "dé", "score": 1e30, "rank": 3}\n',
}


@pytest.mark.parametrize("packed", ["", ".gz"])
@pytest.mark.parametrize("name", RUNS)
def test_a_run_of_any_format(name: str, packed: str, write: Write) -> None:
    assert without_ranks(rows("run", write(name + packed, RUNS[name]))) == RUN


def test_a_run_in_parquet(write_pairs: Callable[..., str]) -> None:
    ids = pa.array(["q1", "q2", "q1"]).dictionary_encode()
    path = write_pairs(qid=ids, docno=["d1", "d1", "dé"], score=[2.5, -0.001, 1e30], row_group_size=2)
    assert without_ranks(rows("run", path)) == RUN
    numbers = write_pairs("b.parquet", query_id=[1], doc_id=[10], score=pa.array([3], pa.int32()))
    assert rows("run", numbers) == [{"query_id": "1", "doc_id": "10", "score": 3.0, "rank": None}]


RANKS = {
    "a.trec": "q Q0 d 1 3 t\nq Q0 e 20 2 t\n",
    "a.tsv": "qid\tdocid\trank\tscore\nq\td\t1\t3\nq\te\t20\t2\n",
    "a.jsonl": '{"qid": "q", "pid": "d", "rank": 1, "score": 3}\n{"qid": "q", "pid": "e", "rank": 20, "score": 2}\n',
}


@pytest.mark.parametrize("name", RANKS)
@pytest.mark.parametrize("first", ["1", '"best"', "null", ""])
def test_ranks_are_read_where_they_are_any(name: str, first: str, write: Write) -> None:
    """They decide nothing, so no row is refused for one that is none."""
    text = RANKS[name]
    if name == "a.jsonl":
        text = text.replace('"rank": 1,', f'"rank": {first or [1]},')
    else:
        text = text.replace(" 1 ", f" {first or '-'} ").replace("\t1\t", f"\t{first}\t")
    found = rows("run", write(name, text))
    assert without_ranks(found) == [
        {"query_id": "q", "doc_id": "d", "score": 3.0},
        {"query_id": "q", "doc_id": "e", "score": 2.0},
    ]
    kept = [1.0, 20.0] if first == "1" else [None, 20.0] if name == "a.jsonl" else [None, None]
    assert [row["rank"] for row in found] == kept


@pytest.mark.parametrize(
    "rank, expected", [([1, 2], [1.0, 2.0]), (["1", "2"], [None, None]), ([[1], [2]], [None, None])]
)
def test_ranks_in_parquet(rank: list, expected: list, write_pairs: Callable[..., str]) -> None:
    found = rows("run", write_pairs(qid=["q", "q"], docno=["d", "e"], score=[3, 2], rank=rank))
    assert [row["rank"] for row in found] == expected


@pytest.mark.parametrize("name", RUNS)
def test_distances_become_their_negatives(name: str, write: Write) -> None:
    found = rows("run", write(name, RUNS[name]), lower_is_better=True)
    assert [row["score"] for row in found] == [-2.5, 0.001, -1e30]


def test_ms_marco_s_run_has_the_inverse_rank_for_a_score(write: Write) -> None:
    found = rows("run", write("run.tsv", "1\t20\t1\n1\t30\t4\n"), "msmarco")
    assert [(row["doc_id"], row["score"]) for row in found] == [("20", 1.0), ("30", 0.25)]


def test_a_score_that_is_no_finite_number_is_none(write: Write, write_pairs: Callable[..., str]) -> None:
    text = "".join(f"q Q0 d 1 {score} t\n" for score in ("nan", "-inf", "1e999", "3"))
    assert [row["score"] for row in rows("run", write("a.trec", text))] == [None, None, None, 3.0]
    path = write_pairs(query_id=["q"] * 3, doc_id=["d"] * 3, score=[None, float("inf"), 3.0])
    assert [row["score"] for row in rows("run", path)] == [None, None, 3.0]


def test_queries_of_any_format(write: Write, write_pairs: Callable[..., str]) -> None:
    expected = [{"query_id": "1", "query": b'what "is"  it?'}, {"query_id": "2", "query": b""}]
    assert rows("queries", write("queries.tsv", '1\twhat "is"  it?\n2\t\r\n')) == expected
    assert (
        rows("queries", write("queries.jsonl", '{"_id": "1", "text": "what \\"is\\"  it?"}\n{"_id": "2", "text": ""}'))
        == expected
    )
    assert rows("queries", write_pairs(qid=[1, 2], text=['what "is"  it?', ""])) == expected


def test_corpora_of_any_format(write: Write, write_pairs: Callable[..., str]) -> None:
    expected = [{"doc_id": "a", "title": b"T", "doc": b"x y"}, {"doc_id": "b", "title": b"", "doc": b"\xc3\xa9"}]
    text = '{"_id": "a", "title": "T", "text": "x y", "metadata": {}}\n{"_id": "b", "title": "", "text": "é"}\n'
    assert rows("corpus", write("corpus.jsonl", text)) == expected
    assert rows("corpus", write("docs.tsv.zst", "a\thttp://x\tT\tx y\nb\t\t\té\n")) == expected
    assert rows("corpus", write_pairs(docid=["a", "b"], title=["T", ""], text=["x y", "é"])) == expected
    bare = [row | {"title": None} for row in expected]
    assert rows("corpus", write("collection.tsv", "a\tx y\nb\té\n")) == bare
    assert rows("corpus", write_pairs("b.parquet", docid=["a", "b"], text=["x y", "é"])) == bare


def test_texts_may_be_null_and_need_not_be_utf_8(write: Write, write_pairs: Callable[..., str]) -> None:
    assert rows("corpus", write("c.jsonl", '{"_id": "a", "text": null}'))[0]["doc"] is None
    assert rows("corpus", write("c.tsv", b"a\t\xff\n"))[0]["doc"] == b"\xff"
    assert [row["doc"] for row in rows("corpus", write_pairs(docid=["a", "b"], text=[b"\xff", None]))] == [
        b"\xff",
        None,
    ]


def test_columns_that_the_user_names(write: Write, write_pairs: Callable[..., str]) -> None:
    expected = [{"doc_id": "1", "title": None, "doc": b"x"}]
    assert rows("corpus", write_pairs(key=["1"], text=["no"], chunk=["x"]), doc_id="key", doc="chunk") == expected
    assert rows("corpus", write("c.jsonl", '{"key": 1, "chunk": "x"}'), doc_id="key", doc="chunk") == expected


BAD = {
    "five columns": ("run", "q Q0 d 1 1\n", "has 5 columns, not 6: q Q0 d 1 1"),
    "no number": ("run", "q Q0 d 1 high t\n", "has no number for the score: q Q0 d 1 high t"),
    "no JSON": ("corpus", "{'_id': 1}\n", "is not JSON (.*): {'_id': 1}"),
}


@pytest.mark.parametrize("packed", ["", ".bz2"])
@pytest.mark.parametrize("name", BAD)
def test_a_bad_line_is_one_error_with_file_and_line(name: str, packed: str, write: Write) -> None:
    kind, line, says = BAD[name]
    good = "q Q0 d 1 1 t\n" if kind == "run" else '{"_id": 1, "text": ""}\n'
    path = write({"run": "a.trec", "corpus": "a.jsonl"}[kind] + packed, "\n" + good * 40 + "\n" + line + good)
    sizes = Sizes(window_bytes=50, piece_bytes=90)  # the line's number does not depend on where its piece begins
    with pytest.raises(UsageError, match=f"^{path}: line 43: {says.replace('(.*)', '[(].*[)]')}$"):
        rows(kind, path, sizes=sizes)


def test_a_rank_below_one_is_a_bad_line(write: Write) -> None:
    with pytest.raises(UsageError, match="line 2: has a rank below 1: q\td\t0"):
        rows("run", write("a.tsv", "q\td\t1\nq\td\t0\n"), "msmarco")


def test_a_file_that_does_not_end_in_a_line_break_is_read_to_its_end(write: Write, tmp_path: Path) -> None:
    assert len(rows("queries", write("queries.tsv", "1\ta\n2\tb"))) == 2


@pytest.mark.parametrize("row", [0, 8191, 8192, 12_000, 19_999])
@pytest.mark.parametrize("split_bytes", [1, 2**30], ids=["a piece a row group", "one piece"])
def test_an_id_that_is_not_exact_is_named_by_its_row_in_the_file(
    row: int, split_bytes: int, write_pairs: Callable[..., str]
) -> None:
    ids = [float(number) for number in range(20_000)]
    ids[row] = 2.0**53
    path = write_pairs(docid=ids, text=["x"] * len(ids), row_group_size=9000)
    with pytest.raises(UsageError, match=f"^{path}: row {row}: column 'docid' [(]--column corpus.doc_id[)] is double"):
        rows("corpus", path, sizes=Sizes(split_bytes=split_bytes))
