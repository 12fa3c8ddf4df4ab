"""pipeline/prepare/choose.py: one bucket of queries. test_run.py has the whole, test_candidates.py the order."""

import zlib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from pipeline.prepare import choose
from pipeline.prepare.choose import ASKED, CANDIDATES, Choose, first_of
from pipeline.prepare.spread import STORED
from pipeline.rank.buckets import Bucketed, bucketed
from pipeline.storage.folder import Folder


def stored(folder: Folder, name: str, kind: str, rows: list[tuple]) -> Bucketed:
    """Rows of one bucket."""
    table = pa.Table.from_pylist([dict(zip(STORED[kind].names, row, strict=True)) for row in rows], STORED[kind])
    data, index = bucketed(table, np.zeros(len(table), np.int64), 1)
    folder.put(name, data)
    return Bucketed(folder, {name: index}, STORED[kind])


def test_a_bucket_s_candidates_and_what_they_ask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choose, "BLOCK_ROWS", 2)
    work, output = Folder(str(tmp_path / "work")), Folder(str(tmp_path / "pairs"))
    runs = [(0, "q2", "c", 1.0), (0, "q1", "a", 1.0), (0, "q1", "b", 2.0), (0, "q3", "a", 9.0), (0, "q2", "a", 2.0)]
    queries = [("q1", "one"), ("q2", "two"), ("q1", "one again"), ("q4", "four")]
    task = Choose(
        work, output, stored(work, "r", "run", runs), stored(work, "q", "queries", queries), 100, False, doc_buckets=2
    )
    found = task(0)
    assert found.rows == 4 and found.starts.tolist() == [0, 2]
    assert found.wanted.tolist() == sorted(zlib.crc32(doc) for doc in (b"a", b"b", b"c"))
    assert found.counts == {
        "unknown_queries": 1,
        "unknown_query_rows": 1,
        "repeated_queries": 1,
        "repeated_rows": 0,
        "unused_queries": 1,
        "known_queries": 2,
        "rows_beyond_depth": 0,
    }
    assert (tmp_path / "pairs/_unknown/queries-00000.tsv").read_text() == "query_id\trows\nq3\t1\n"

    blocks = Bucketed(work, dict([found.blocks]), CANDIDATES)
    wanted = [[("q1", "b", 2.0), ("q1", "a", 1.0)], [("q2", "a", 2.0), ("q2", "c", 1.0)]]
    assert [[tuple(row.values()) for row in blocks.read(block).to_pylist()] for block in (0, 1)] == wanted
    asked = Bucketed(work, dict([found.asked]), ASKED)
    for bucket in (0, 1):
        rows = [(doc, 0, row) for row, doc in enumerate("baac") if zlib.crc32(doc.encode()) % 2 == bucket]
        assert [tuple(row.values()) for row in asked.read(bucket).to_pylist()] == rows


def test_the_first_row_of_an_id_stands() -> None:
    table = pa.table({"id": ["b", "a", "b", "c", "a"], "text": ["1", "2", "3", "4", "5"]})
    kept, others = first_of(table, "id")
    assert kept.to_pydict() == {"id": ["b", "a", "c"], "text": ["1", "2", "4"]} and others == 2
    assert first_of(table.slice(0, 0), "id")[1] == 0
