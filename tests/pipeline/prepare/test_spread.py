"""pipeline/prepare/spread.py: rows by the bucket of an id, and what is dropped or mended on the way."""

import zlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from pipeline.prepare.sizes import Sizes
from pipeline.prepare.spread import STORED_SCHEMAS, Spread, mend_texts
from pipeline.rank.buckets import BucketReader
from pipeline.storage.folder import Folder
from tests.pipeline.prepare.conftest import pieces

Write = Callable[..., str]
BUCKETS = 3


def open_result(
    scratch: Folder, kind: str, result: tuple[dict[str, np.ndarray], Counter[str]]
) -> tuple[BucketReader, Counter[str]]:
    """A task's files, to be read, and its counts."""
    return BucketReader(scratch, result[0], STORED_SCHEMAS[kind]), result[1]


def bucket(id: str) -> int:
    return zlib.crc32(id.encode()) % BUCKETS


@pytest.mark.parametrize("file_bytes", [1, 2**20], ids=["a file a block", "one file"])
def test_each_row_lies_in_the_bucket_of_its_id(file_bytes: int, write: Write, tmp_path: Path) -> None:
    sizes = Sizes(file_bytes=file_bytes, window_bytes=100)
    text = "".join(f"q{i % 7} Q0 d{i} 1 {i} t\n" for i in range(40))
    scratch = Folder(str(tmp_path / "scratch"))
    (piece,) = pieces("run", write("a.trec", text))
    files, counts = open_result(scratch, "run", Spread(scratch, BUCKETS, sizes=sizes)((0, piece)))
    assert (len(files.index) == 1) == (file_bytes > 1)
    assert counts == {"run_rows": 40, "unusable_rows": 0}
    for number in range(BUCKETS):
        expected = [f"d{i}" for i in range(40) if bucket(f"q{i % 7}") == number]
        found = files.read(number)
        assert found["doc_id"].to_pylist() == expected and found.schema == STORED_SCHEMAS["run"]


def test_rows_of_a_run_without_id_or_score_are_counted(write_pairs: Callable[..., str], tmp_path: Path) -> None:
    path = write_pairs(query_id=["a", None, "a", "a"], doc_id=["x", "x", None, "y"], score=[1.0, 1.0, 1.0, None])
    scratch = Folder(str(tmp_path / "scratch"))
    files, counts = open_result(scratch, "run", Spread(scratch, 1)((0, pieces("run", path)[0])))
    assert (counts["run_rows"], counts["unusable_rows"]) == (4, 3)
    assert files.read(0).to_pylist() == [{"run": 0, "query_id": "a", "doc_id": "x", "score": 1.0, "rank": None}]


@pytest.mark.parametrize("kind", ["queries", "corpus"])
def test_texts_without_an_id_are_counted(kind: str, write_pairs: Callable[..., str], tmp_path: Path) -> None:
    key, text = {"queries": ("query_id", "query"), "corpus": ("doc_id", "doc")}[kind]
    path = write_pairs(**{key: ["a", None, "b", None], text: ["one", "two", None, "four"]})
    scratch = Folder(str(tmp_path / "scratch"))
    files, counts = open_result(scratch, kind, Spread(scratch, 1)((0, pieces(kind, path)[0])))
    assert counts["rows_without_id"] == 2 and files.read(0)[key].to_pylist() == ["a", "b"]


def test_only_wanted_documents_are_kept(write: Write, tmp_path: Path) -> None:
    text = b"a\tone\nb\t\xff\nc\t\xe9t\xe9 \xc3\xa9\nd\t\n"
    scratch = Folder(str(tmp_path / "scratch"))
    wanted = np.array(sorted(zlib.crc32(id) for id in (b"c", b"d", b"e")), dtype=np.uint32)
    (piece,) = pieces("corpus", write("c.tsv", text))
    files, counts = open_result(scratch, "corpus", Spread(scratch, 1, wanted)((0, piece)))
    assert files.read(0).to_pylist() == [
        {"doc_id": "c", "title": None, "doc": "\ufffdt\ufffd é"},
        {"doc_id": "d", "title": None, "doc": ""},
    ]
    assert counts == {
        "corpus_docs": 4,
        "rows_without_id": 0,
        "mended_texts": 1,
    }  # and not that of b, which nobody reads


def test_where_nothing_is_wanted_nothing_is_written(write: Write, tmp_path: Path) -> None:
    scratch = Folder(str(tmp_path / "scratch"))
    (piece,) = pieces("corpus", write("c.tsv", "a\tone\n"))
    files, counts = open_result(scratch, "corpus", Spread(scratch, 1, np.zeros(0, np.uint32))((0, piece)))
    assert (files.index, scratch.files(), counts) == (
        {},
        {},
        {"corpus_docs": 1, "rows_without_id": 0, "mended_texts": 0},
    )
    assert files.read(0).schema == STORED_SCHEMAS["corpus"]


def test_a_title_without_a_word_is_none(write: Write, tmp_path: Path) -> None:
    text = "".join(
        f'{{"_id": "{i}", "title": {title}, "text": "x"}}\n' for i, title in enumerate(['" "', '"T"', "null"])
    )
    scratch = Folder(str(tmp_path / "scratch"))
    files, _ = open_result(scratch, "corpus", Spread(scratch, 1)((0, pieces("corpus", write("c.jsonl", text))[0])))
    assert files.read(0)["title"].to_pylist() == [None, "T", None]


def test_mended_texts_are_counted() -> None:
    texts = pa.chunked_array([[b"good \xef\xbf\xbd", b"\xed\xa0\x80", None, b"\xc3"]], pa.large_binary())
    mended, count = mend_texts(texts)
    assert mended.to_pylist() == ["good \ufffd", "\ufffd" * 3, None, "\ufffd"] and count == 2
    assert mend_texts(texts.slice(0, 1)) == (pa.chunked_array([["good \ufffd"]], pa.large_string()), 0)
