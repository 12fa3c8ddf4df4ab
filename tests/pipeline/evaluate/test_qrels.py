"""Judgements in every form in which they come, and what is said of those that cannot be read."""

import gzip
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.errors import UsageError
from pipeline.evaluate.qrels import describe_columns, read_qrels

SAME = {"q1": {"d1": 2, "d2": 0}, "q2": {"d1": 1}}
FORMS = {
    "TREC": "q1 0 d1 2\nq1 0 d2 0\nq2 0 d1 1\n",
    "TREC with tabs, Q0 and blank lines": "q1\tQ0\td1\t2\n\nq1\tQ0\td2\t0\nq2\tQ0\td1\t1\n\n",
    "TREC from Windows, with a byte order mark": "\ufeffq1 0 d1 2\r\nq1 0 d2 0\r\nq2 0 d1 1\r\n",
    "TREC without a line break at its end": "q1 0 d1 2\nq1 0 d2 0\nq2 0 d1 1",
    "BEIR": "query-id\tcorpus-id\tscore\nq1\td1\t2\nq1\td2\t0\nq2\td1\t1\n",
    "the demo's": "query_id\tdoc_id\trelevance\nq1\td1\t2\nq1\td2\t0\nq2\td1\t1\n",
    "columns in another order": "rel\tqid\tdocid\n2\tq1\td1\n0\tq1\td2\n1\tq2\td1\n",
    "more columns than needed": "Query_ID\titer\tdoc_id\trel\tnote\nq1\t0\td1\t2\tx\nq1\t0\td2\t0\t\nq2\t0\td1\t1\t\n",
    "JSONL": '{"query-id": "q1", "corpus-id": "d1", "score": 2}\n{"qid": "q1", "docno": "d2", "rel": 0.0, "by": "x"}\n'
    '\n{"query_id": "q2", "doc_id": "d1", "relevance": "1"}',
    "a judgement twice": "q1 0 d1 2\nq1 0 d1 2\nq1 0 d2 0\nq2 0 d1 1\n",
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_reads_the_same(tmp_path: Path, form: str) -> None:
    (tmp_path / "qrels").write_bytes(FORMS[form].encode())
    assert read_qrels(str(tmp_path / "qrels")) == SAME


KINDS = {
    "strings": {"query-id": ["q1", "q1", "q2"], "corpus-id": ["d1", "d2", "d1"], "score": [2, 0, 1]},
    "more columns, in another order": {
        "score": pa.array([2.0, 0.0, 1.0]),
        "iteration": [0, 0, 0],
        "Docno": pa.array(["d1", "d2", "d1"]).dictionary_encode(),
        "Topic": [b"q1", b"q1", b"q2"],
    },
    "the query's text, too": {
        "query": ["one", "one", "two"],
        "query_id": ["q1", "q1", "q2"],
        "doc_id": ["d1", "d2", "d1"],
        "rel": pa.array([2, 0, 1], pa.int8()),
    },
}


@pytest.mark.parametrize("kind", KINDS)
def test_parquet(tmp_path: Path, kind: str) -> None:
    pq.write_table(pa.table(KINDS[kind]), tmp_path / "test.parquet")
    assert read_qrels(str(tmp_path / "test.parquet")) == SAME


def test_numbers_are_ids_as_the_input_writes_them(tmp_path: Path) -> None:
    pq.write_table(pa.table({"qid": [7], "pid": pa.array([2**60], pa.uint64()), "rel": [1]}), tmp_path / "a")
    (tmp_path / "b").write_text('{"qid": 7, "pid": 1152921504606846976, "rel": 1}')
    assert read_qrels(str(tmp_path / "a")) == read_qrels(str(tmp_path / "b")) == {"7": {str(2**60): 1}}


def test_columns_that_the_user_names(tmp_path: Path) -> None:
    (tmp_path / "qrels").write_text("topic\tqid\tdocid\tGold\nt\tq\td\t1\n")
    given = {"query_id": "topic", "relevance": "Gold"}
    assert read_qrels(str(tmp_path / "qrels"), given) == {"t": {"d": 1}}


def test_compressed(tmp_path: Path) -> None:
    (tmp_path / "qrels.tsv.gz").write_bytes(gzip.compress(FORMS["BEIR"].encode()))
    assert read_qrels(str(tmp_path / "qrels.tsv.gz")) == SAME


def test_ids_in_a_tsv_may_hold_spaces_and_odd_characters(tmp_path: Path) -> None:
    (tmp_path / "qrels.tsv").write_text("query-id\tcorpus-id\tscore\nfirst query\tdoc one\x0b\t1\n", encoding="utf-8")
    assert read_qrels(str(tmp_path / "qrels.tsv")) == {"first query": {"doc one": 1}}


WRONG = {
    "no file": (None, "qrels: cannot read the judgements"),
    "empty": ("\n", "qrels: holds no judgements"),
    "a header alone": ("query-id\tcorpus-id\tscore\n", "qrels: holds no judgements"),
    "three fields": ("q1 d1 1\n", "qrels: line 1: neither the four fields of TREC qrels nor a header"),
    "a header with other names": ("a\tb\tc\nq1\td1\t1\n", "qrels: line 1: neither the four fields of TREC qrels nor"),
    "a short line in TREC": ("q1 0 d1 1\nq1 0 d2\n", "qrels: line 2 has 3 fields, and TREC qrels have 4"),
    "a short line in a TSV": ("qid\tdocid\trel\nq1\td1\n", "qrels: line 2 has 2 fields, and the header 3"),
    "a grade that is none": ("q1 0 d1 1\n\nq1 0 d2 high\n", "qrels: line 3: the grade 'high' is not a whole number"),
    "two grades": ("q1 0 d1 1\nq1 0 d1 2\n", "qrels: line 2: query 'q1', document 'd1' has grade 2, and 1 further up"),
    "two ids of the query": (
        "qid\ttopic\tdocno\trel\n1\t2\td\t1\n",
        "qrels: line 1: has 'qid' and 'topic' for query_id; choose one with --column query_id=...; it has qid, topic, ",
    ),
    "two ids of the document": (
        '{"qid": 1, "docid": 7, "docno": "d7", "rel": 1}',
        "qrels: line 1: has 'docid' and 'docno' for doc_id; choose one with --column doc_id=...; it has qid, docid",
    ),
    "two grades of other names": (
        pa.table({"qid": ["1"], "docno": ["d"], "score": [17.3], "label": [1]}),
        "qrels: has 'score' and 'label' for relevance; choose one with --column relevance=...; it has qid, ",
    ),
    "a line without a grade": ('{"qid": 1, "docid": 7}', "qrels: line 1: has no column 'relevance' or 'rel' or"),
    "no JSON": ('{"qid": 1, "docid": 7, "rel": 1}\n{qid: 1}', "qrels: line 2: is not JSON (Expecting property"),
    "an id that is none": ('{"qid": null, "docid": 7, "rel": 1}', "qrels: line 1: has null, which is not an id"),
    "a grade between two": (pa.table({"qid": [1], "pid": [2], "rel": [0.5]}), "qrels: row 0: the grade 0.5 is not a"),
    "a null": (
        pa.table({"qid": [1, 1], "pid": [2, None], "rel": [1, 1]}),
        "qrels: row 1: has null, which is not an id",
    ),
    "ids that are not exact": (
        pa.table({"qid": [2.0**53], "pid": [2.0], "rel": [1]}),
        "qrels: row 0: column 'qid' (--column query_id) is double, and has 9007199254740992.0",
    ),
    "no Parquet": (b"PAR1 and no more", "qrels: cannot be read: "),
    "UTF-16": ("q1 0 d1 1\n".encode("utf-16"), "qrels: line 1: is UTF-16, not UTF-8; write it again"),
    "UTF-16 in a header": ("qid\tdocno\trel\nq\td\t1".encode("utf-16-be"), "qrels: line 1: is UTF-16 or UTF-32, not"),
    "UTF-16 in JSONL": ('{"qid": 1}'.encode("utf-16-le"), "qrels: line 1: is UTF-16 or UTF-32, not UTF-8"),
    "not UTF-8": (b"q1 0 d\xff 1\n", "qrels: cannot read the judgements"),
}


@pytest.mark.parametrize("what", WRONG)
def test_wrong_files_are_one_line_that_names_the_place(tmp_path: Path, what: str) -> None:
    content, message = WRONG[what]
    if isinstance(content, pa.Table):
        pq.write_table(content, tmp_path / "qrels")
    elif content is not None:
        (tmp_path / "qrels").write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(UsageError) as error:
        read_qrels(str(tmp_path / "qrels"))
    assert message in str(error.value)
    assert "\n" not in str(error.value)


TOLD = {
    "TREC": (FORMS["TREC"], {}, ""),
    "names of their own": (FORMS["the demo's"], {}, ""),
    "BEIR": (FORMS["BEIR"], {}, "qrels: query_id is 'query-id', doc_id is 'corpus-id', relevance is 'score'"),
    "BEIR, named in part": (
        FORMS["BEIR"],
        {"relevance": "score"},
        "qrels: query_id is 'query-id', doc_id is 'corpus-id'",
    ),
    "Parquet": (
        pa.table(KINDS["more columns, in another order"]),
        {},
        "qrels: query_id is 'Topic', doc_id is 'Docno', re",
    ),
    "other keys on other lines": (
        *(FORMS["JSONL"], {}),
        "qrels: query_id is 'qid' in 1 rows and 'query-id' in 1 rows and 'query_id' in 1 rows, doc_id is",
    ),
}


@pytest.mark.parametrize("case", TOLD)
def test_the_columns_that_were_taken_are_told(case: str, tmp_path: Path) -> None:
    content, given, expected = TOLD[case]
    if isinstance(content, str):
        (tmp_path / "qrels").write_text(content)
    else:
        pq.write_table(content, tmp_path / "qrels")
    taken: Counter[tuple[str, str]] = Counter()
    read_qrels(str(tmp_path / "qrels"), given, taken)
    told = describe_columns(taken, given)
    assert told.startswith(expected) and bool(told) == bool(expected)
