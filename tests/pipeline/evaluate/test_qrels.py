"""Judgements in every form in which they come, and what is said of those that cannot be read."""

import gzip
from pathlib import Path

import pytest

from pipeline.errors import UsageError
from pipeline.evaluate.qrels import read_qrels

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
    "a judgement twice": "q1 0 d1 2\nq1 0 d1 2\nq1 0 d2 0\nq2 0 d1 1\n",
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_reads_the_same(tmp_path: Path, form: str) -> None:
    (tmp_path / "qrels").write_bytes(FORMS[form].encode())
    assert read_qrels(str(tmp_path / "qrels")) == SAME


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
    "not UTF-8": (b"q1 0 d\xff 1\n", "qrels: cannot read the judgements"),
}


@pytest.mark.parametrize("what", WRONG)
def test_wrong_files_are_one_line_that_names_the_place(tmp_path: Path, what: str) -> None:
    content, message = WRONG[what]
    if content is not None:
        (tmp_path / "qrels").write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(UsageError) as error:
        read_qrels(str(tmp_path / "qrels"))
    assert message in str(error.value)
    assert "\n" not in str(error.value)
