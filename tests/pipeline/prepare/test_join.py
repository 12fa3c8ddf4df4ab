"""pipeline/prepare/join.py: one bucket of documents, whose texts go to the shards that ask for them."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from pipeline.prepare import join
from pipeline.prepare.choose import ASKED
from pipeline.prepare.join import TEXTS, Join, Joined
from pipeline.prepare.spread import STORED
from pipeline.rank.buckets import Bucketed, bucketed
from pipeline.storage.folder import Folder

DOCS = [("a", "T", "text of a"), ("b", None, "text of b"), ("a", None, "a later one"), ("c", None, None)]
# What rows 0 to 4 of one bucket of queries, and 0 to 2 of the next, ask of this bucket of documents.
ASKS = [("b", 1, 2), ("a", 0, 4), ("x", 0, 3), ("b", 0, 0), ("x", 1, 1), ("c", 1, 0)]
OFFSETS, BOUNDS = np.array([0, 5, 8]), np.array([0, 2, 5, 8])


def joined(tmp_path: Path) -> tuple[Joined, Bucketed]:
    work, output = Folder(str(tmp_path / "work")), Folder(str(tmp_path / "pairs"))
    sides = []
    for name, schema, rows in (("asked", ASKED, ASKS), ("docs", STORED["corpus"], DOCS)):
        table = pa.Table.from_pylist([dict(zip(schema.names, row, strict=True)) for row in rows], schema)
        data, index = bucketed(table, np.zeros(len(table), np.int64), 1)
        work.put(name, data)
        sides.append(Bucketed(work, {name: index}, schema))
    asked, docs = sides
    found = Join(work, output, asked, docs, OFFSETS, BOUNDS)(0)
    return found, Bucketed(work, found.files, TEXTS, found.first)


@pytest.mark.parametrize("file_bytes, files", [(2**20, 1), (1, 3)], ids=["one file", "a file a text"])
def test_each_shard_gets_the_texts_of_its_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file_bytes: int, files: int
) -> None:
    monkeypatch.setattr(join, "FILE_BYTES", file_bytes)
    found, texts = joined(tmp_path)
    assert len(found.files) == files
    shards = [[tuple(row.values()) for row in texts.read(shard).to_pylist()] for shard in range(3)]
    assert shards == [
        [(0, None, "text of b")],
        [(4, "T", "text of a")],
        [(5, None, None), (7, None, "text of b")],
    ]
    assert found.titles
    assert found.counts == {"unknown_docs": 1, "unknown_doc_rows": 2, "repeated_docs": 1}
    assert (tmp_path / "pairs/_unknown/docs-00000.tsv").read_text() == "doc_id\trows\nx\t2\n"


def test_a_corpus_without_the_documents_gives_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "DOCS", [])
    found, texts = joined(tmp_path)
    assert (found.files, found.titles, found.counts["unknown_docs"]) == ({}, False, 4)
    assert len(texts.read(0)) == 0
