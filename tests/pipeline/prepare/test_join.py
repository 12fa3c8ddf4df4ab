"""pipeline/prepare/join.py: one bucket of documents, whose texts go to the shards that ask for them."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from pipeline.prepare.choose import ASKED_SCHEMA
from pipeline.prepare.join import TEXT_SCHEMA, Join, Joined
from pipeline.prepare.spread import STORED_SCHEMAS
from pipeline.rank.buckets import BucketReader, encode_by_bucket
from pipeline.storage.folder import Folder

DOCS = [("a", "T", "text of a"), ("b", None, "text of b"), ("a", None, "a later one"), ("c", None, None)]
# The documents that rows 0 to 4 of one bucket of queries, and 0 to 2 of the next, ask for in this bucket.
ASKS = [("b", 1, 2), ("a", 0, 4), ("x", 0, 3), ("b", 0, 0), ("x", 1, 1), ("c", 1, 0)]
OFFSETS, BOUNDS = np.array([0, 5, 8]), np.array([0, 2, 5, 8])


def join_bucket(tmp_path: Path, file_bytes: int = 2**20, docs_there: list[tuple] = DOCS) -> tuple[Joined, BucketReader]:
    scratch, output = Folder(str(tmp_path / "scratch")), Folder(str(tmp_path / "pairs"))
    sides = []
    for name, schema, rows in (("asked", ASKED_SCHEMA, ASKS), ("docs", STORED_SCHEMAS["corpus"], docs_there)):
        table = pa.Table.from_pylist([dict(zip(schema.names, row, strict=True)) for row in rows], schema)
        data, index = encode_by_bucket(table, np.zeros(len(table), np.int64), 1)
        scratch.put(name, data)
        sides.append(BucketReader(scratch, {name: index}, schema))
    asked, docs = sides
    found = Join(scratch, output, asked, docs, OFFSETS, BOUNDS, file_bytes)(0)
    return found, BucketReader(scratch, found.files, TEXT_SCHEMA, found.first)


@pytest.mark.parametrize("file_bytes, files", [(2**20, 1), (1, 3)], ids=["one file", "a file a text"])
def test_each_shard_gets_the_texts_of_its_rows(tmp_path: Path, file_bytes: int, files: int) -> None:
    found, texts = join_bucket(tmp_path, file_bytes)
    assert len(found.files) == files
    shards = [[tuple(row.values()) for row in texts.read(shard).to_pylist()] for shard in range(3)]
    assert shards == [
        [(0, None, "text of b")],
        [(4, "T", "text of a")],
        [(5, None, None), (7, None, "text of b")],
    ]
    assert found.titles
    assert found.counts == {"unknown_docs": 1, "unknown_doc_rows": 2, "repeated_docs": 1, "conflicting_docs": 1}
    assert (tmp_path / "pairs/_unknown/docs-00000.tsv").read_text() == "doc_id\trows\nx\t2\n"


def test_a_corpus_without_the_documents_gives_nothing(tmp_path: Path) -> None:
    found, texts = join_bucket(tmp_path, docs_there=[])
    assert (found.files, found.titles, found.counts["unknown_docs"]) == ({}, False, 4)
    assert len(texts.read(0)) == 0
