"""pipeline/prepare/formats.py: what a name tells, and what a line has to look like."""

import pytest

from pipeline.errors import UsageError
from pipeline.input.match import Usual
from pipeline.prepare.formats import (
    TREC,
    BadRow,
    detect_format,
    find_columns,
    list_endings,
    list_usual_names,
    parse_cells,
    parse_objects,
)

JSON = list_usual_names("corpus", {"doc": "text"})


@pytest.mark.parametrize(
    "kind, path, expected",
    [
        ("run", "bm25.trec", ("trec", None)),
        ("run", "s3://b/run.bm25.TXT.gz", ("trec", "gzip")),
        ("run", "dense.parquet", ("parquet", None)),
        ("run", "table.tsv.zst", ("tsv", "zstd")),
        ("queries", "queries.dev.tsv", ("tsv", None)),
        ("queries", "queries.jsonl.bz2", ("jsonl", "bz2")),
        ("corpus", "collection.tsv", ("tsv", None)),
        ("corpus", "part.json", ("jsonl", None)),
    ],
)
def test_a_name_tells_format_and_compression(kind: str, path: str, expected: tuple) -> None:
    assert detect_format(kind, path, None) == expected


def test_what_is_said_outweighs_the_name() -> None:
    assert detect_format("run", "top1000.tsv.gz", "msmarco") == ("msmarco", "gzip")


@pytest.mark.parametrize("kind, path", [("run", "bm25"), ("corpus", "collection.trec"), ("queries", "a.gz")])
def test_a_name_that_tells_nothing_is_named(kind: str, path: str) -> None:
    with pytest.raises(UsageError, match=f"{path}: .*--{kind}-format, one of .*parquet"):
        detect_format(kind, path, None)


def test_endings_of_folders() -> None:
    assert {".jsonl", ".jsonl.gz", ".tsv.zst", ".parquet"} <= set(list_endings("corpus"))
    assert ".trec" not in list_endings("corpus")


def test_cells_of_a_trec_run_are_parted_by_any_white_space() -> None:
    lines = [b"q1 Q0 d1 1 2.5 bm25", b"  q1\tQ0   d2 2\t2e-3 bm25\r", b"", b" \t"]
    assert parse_cells(lines, TREC, None) == {
        "query_id": [b"q1", b"q1"],
        "doc_id": [b"d1", b"d2"],
        "rank": [b"1", b"2"],
        "score": [b"2.5", b"2e-3"],
    }


def test_cells_of_a_table_keep_spaces_and_quotes() -> None:
    lines = [b'd1\t a "text" \r', b"d2\t"]
    assert parse_cells(lines, ("doc_id", "doc"), b"\t") == {"doc_id": [b"d1", b"d2"], "doc": [b' a "text" ', b""]}


@pytest.mark.parametrize("line, has", [(b"q Q0 d 1 2.5", 5), (b"q Q0 d 1 2.5 my tag", 7), (b"q\x00", 1)])
def test_a_line_of_another_width_is_told(line: bytes, has: int) -> None:
    with pytest.raises(BadRow) as error:
        parse_cells([b"", b"q Q0 d 1 2.5 tag", line], TREC, None)
    assert (error.value.row, error.value.what) == (1, f"has {has} columns, not 6")


def test_objects_take_what_they_have() -> None:
    lines = [b'{"_id": "a", "title": "T", "text": "x", "metadata": {}}', b"", b'{"id": 7, "text": null}']
    assert parse_objects(lines, JSON) == {"doc_id": [b"a", b"7"], "title": [b"T", None], "doc": [b"x", None]}


def test_half_a_surrogate_pair_is_kept_for_later() -> None:
    assert parse_objects([rb'{"id": "a", "text": "\ud800!"}'], JSON)["doc"] == [b"\xed\xa0\x80!"]


@pytest.mark.parametrize(
    "line, what",
    [
        (b"{", "is not JSON"),
        (b'{"id": "\xff"}', "is not JSON"),
        (b"[1]", "is not a JSON object"),
        (b'{"text": "x"}', "has no column 'doc_id' or 'docid' or"),
        (b'{"id": "a"}', "has no column 'text' for doc (--column corpus.doc=...)"),
        (b'{"id": null, "text": "x"}', "has null for 'id', which is not an id"),
        (b'{"id": true, "text": "x"}', "has true for 'id', which is not an id"),
        (b'{"id": 1.0, "text": "x"}', "has 1.0 for 'id', which is not an id"),
        (b'{"id": "a", "text": ["x"]}', "has [\"x\"] for 'text', which is not a text"),
    ],
)
def test_an_object_of_another_form_is_told(line: bytes, what: str) -> None:
    with pytest.raises(BadRow) as error:
        parse_objects([b'{"id": "a", "text": "x"}', line], JSON)
    assert error.value.row == 1 and error.value.what.startswith(what)


def test_a_score_in_json_is_a_number() -> None:
    usual = {"score": Usual("run.score", ("score",))}
    assert parse_objects([b'{"score": 1}', b'{"score": null}'], usual) == {"score": [1, None]}
    with pytest.raises(BadRow) as error:
        parse_objects([b'{"score": "1"}'], usual)
    assert error.value.what == "has \"1\" for 'score', which is not a number"


def test_columns_are_found_by_usual_names() -> None:
    assert find_columns("corpus", "f", ["docid", "text"], {}) == {"doc_id": "docid", "doc": "text"}
    assert find_columns("run", "f", ["score", "query-id", "corpus-id"], {}) == {
        "query_id": "query-id",
        "doc_id": "corpus-id",
        "score": "score",
    }
    assert find_columns("corpus", "f", ["id", "doc", "text", "title"], {"doc": "text"})["doc"] == "text"
    given = {"run.doc_id": "docno", "doc_id": "id"}
    usual = [list_usual_names(kind, given)["doc_id"] for kind in ("run", "corpus")]
    assert usual == [Usual("run.doc_id", ("docno",)), Usual("corpus.doc_id", ("id",))]


@pytest.mark.parametrize(
    "there, given, says",
    [
        (["docid", "body!"], {}, "for doc (--column corpus.doc=...); it has docid, body!"),
        (["docid", "text"], {"doc": "passage"}, "f: has no column 'passage' for doc"),
        (["docid", "text"], {"title": "headline"}, "f: has no column 'headline' for title"),
    ],
)
def test_a_missing_column_is_named(there: list[str], given: dict[str, str], says: str) -> None:
    with pytest.raises(UsageError) as error:
        find_columns("corpus", "f", there, given)
    assert says in str(error.value)


def test_a_row_of_a_run_may_lack_an_id_and_is_left_out_later() -> None:
    lines = [b'{"qid": null, "docid": "d", "score": 1}', b'{"qid": 7, "docid": "d", "score": null}']
    read = parse_objects(lines, list_usual_names("run", {}))
    assert read == {"query_id": [None, b"7"], "doc_id": [b"d", b"d"], "score": [1, None], "rank": [None, None]}
