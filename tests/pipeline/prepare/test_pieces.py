"""pipeline/prepare/pieces.py: what one task reads."""

from collections.abc import Callable

import pyarrow as pa
import pytest

from pipeline.errors import UsageError
from pipeline.prepare.formats import TREC
from pipeline.prepare.sizes import Sizes
from tests.pipeline.prepare.conftest import pieces

Write = Callable[..., str]


def test_a_text_is_cut_into_ranges_of_its_bytes(write: Write) -> None:
    found = pieces("run", write("a.trec", "q Q0 d 1 1 t\n" * 2), sizes=Sizes(piece_bytes=10))
    assert [(piece.start, piece.stop, piece.decoded) for piece in found] == [(0, 10, 10), (10, 20, 10), (20, 26, 6)]
    assert {piece.columns for piece in found} == {TREC}
    assert pieces("run", write("empty.trec", "")) == pieces("corpus", write("empty.tsv", "")) == []


def test_a_packed_text_is_one_piece(write: Write) -> None:
    path = write("c.jsonl.gz", '{"_id": "d", "text": ""}\n' * 2)
    (piece,) = pieces("corpus", path, sizes=Sizes(piece_bytes=10))
    assert piece.start == 0 and piece.stop > 10**15


def test_the_first_line_of_a_table_names_its_columns(write: Write) -> None:
    path = write("run.tsv", "\ufeffscore\tqid\tnote\tdocid\r\n1\tq\tx\td\n")
    (unnamed,) = pieces("run", write("index.tsv", "\tqid\tdocid\tscore\t\n0\tq\td\t1\t\n"))
    assert unnamed.columns == ("", "query_id", "doc_id", "score", "")
    (piece,) = pieces("run", path)
    assert piece.columns == ("score", "query_id", "", "doc_id")
    assert piece.start == len("\ufeffscore\tqid\tnote\tdocid\r\n".encode())
    (piece,) = pieces("run", path, columns={"score": "note"})
    assert piece.columns == ("", "query_id", "score", "doc_id")


def test_a_table_without_a_header_is_refused(write: Write) -> None:
    with pytest.raises(UsageError, match=r"run.tsv: has no column .*MS MARCO's three columns .* --run-format msmarco"):
        pieces("run", write("run.tsv", "q\td\t1\n"))


@pytest.mark.parametrize(
    "line, columns",
    [("d\ttext\n", ("doc_id", "doc")), ("d\turl\ttitle\tbody\n", ("doc_id", "", "title", "doc"))],
    ids=["passages", "documents"],
)
def test_ms_marco_s_collections_are_told_by_their_width(write: Write, line: str, columns: tuple[str, ...]) -> None:
    (piece,) = pieces("corpus", write("collection.tsv", line))
    assert piece.columns == columns


def test_a_collection_of_another_width_is_named(write: Write) -> None:
    with pytest.raises(UsageError, match=r"collection.tsv: line 1: has 3 columns, not 2 or 4"):
        pieces("corpus", write("collection.tsv", "d\ttitle\tbody\n"))


def test_parquet_is_cut_at_its_row_groups(write_pairs: Callable[..., str]) -> None:
    path = write_pairs(docid=list(range(5)), text=["x"] * 5, row_group_size=2)
    found = pieces("corpus", path, sizes=Sizes(split_bytes=1))
    assert [(piece.start, piece.stop) for piece in found] == [(0, 1), (1, 2), (2, 3)]
    assert found[0].columns == {"doc_id": "docid", "doc": "text"}
    many = write_pairs("many.parquet", qid=["q"] * 9999, docid=["d"] * 9999, score=[1.0] * 9999)
    assert sum(piece.decoded for piece in pieces("run", many)) == 9999 * 32  # dictionaries make them a few bytes


@pytest.mark.parametrize(
    "columns, says",
    [
        ({"docid": ["d"]}, "has no column 'doc' or 'text' or .* for doc "),
        ({"docid": ["d"], "text": [1]}, r"column 'text' \(--column doc\) is int64, not a text"),
        ({"docid": [["d"]], "text": ["x"]}, r"column 'docid' \(--column doc_id\) is list<.*>, not an id"),
    ],
    ids=["missing", "a number for a text", "a list for an id"],
)
def test_a_parquet_file_that_cannot_be_used_is_named(
    write_pairs: Callable[..., str], columns: dict[str, pa.Array], says: str
) -> None:
    with pytest.raises(UsageError, match=f"pairs.parquet: {says}"):
        pieces("corpus", write_pairs(**columns))


def test_what_is_no_parquet_is_named(write: Write) -> None:
    with pytest.raises(UsageError, match=r"a.parquet: not a Parquet file"):
        pieces("corpus", write("a.parquet", "text, after all"))
