"""pipeline/prepare/choose.py: one bucket of queries. test_run.py has the whole, test_candidates.py the order."""

import random
import zlib
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from pipeline.input.excluded import LeftOut
from pipeline.prepare.choose import ASKED_SCHEMA, CANDIDATE_SCHEMA, Choose, keep_first
from pipeline.prepare.spread import STORED_SCHEMAS
from pipeline.rank.buckets import BucketReader, encode_by_bucket
from pipeline.storage.folder import Folder


def put_bucketed(folder: Folder, name: str, kind: str, rows: list[tuple]) -> BucketReader:
    """Rows of one bucket."""
    table = pa.Table.from_pylist(
        [dict(zip(STORED_SCHEMAS[kind].names, row, strict=True)) for row in rows], STORED_SCHEMAS[kind]
    )
    data, index = encode_by_bucket(table, np.zeros(len(table), np.int64), 1)
    folder.put(name, data)
    return BucketReader(folder, {name: index}, STORED_SCHEMAS[kind])


def test_a_bucket_s_candidates_and_what_they_ask(tmp_path: Path) -> None:
    scratch, output = Folder(str(tmp_path / "scratch")), Folder(str(tmp_path / "pairs"))
    scores = [
        ("q2", "c", 1.0),
        ("q1", "a", 1.0),
        ("q1", "b", 2.0),
        ("q3", "a", 9.0),
        ("q2", "a", 2.0),
        ("q1", "z", 9.0),
    ]
    runs = [(0, *row, None) for row in scores]
    queries = [("q1", "one"), ("q2", "two"), ("q1", "one again"), ("q4", "four")]
    task = Choose(
        scratch,
        output,
        runs=put_bucketed(scratch, "r", "run", runs),
        queries=put_bucketed(scratch, "q", "queries", queries),
        depth=100,
        fused=False,
        left_out=LeftOut(listed={"q1": frozenset("z")}),
        doc_buckets=2,
        block_rows=2,
    )
    found = task(0)
    assert found.rows == 4 and found.starts.tolist() == [0, 2]
    assert found.wanted.tolist() == sorted(zlib.crc32(doc) for doc in (b"a", b"b", b"c"))
    assert found.counts == {
        "unknown_queries": 1,
        "unknown_query_rows": 1,
        "repeated_queries": 1,
        "conflicting_queries": 1,
        "repeated_rows": 0,
        "unused_queries": 1,
        "known_queries": 2,
        "rows_beyond_depth": 0,
        "identical_rows": 0,
        "excluded_rows": 1,
        "ordered 0": 1,
        "contrary 0": 1,
        "reversed 0": 1,
    }
    assert (tmp_path / "pairs/_unknown/queries-00000.tsv").read_text() == "query_id\trows\nq3\t1\n"

    blocks = BucketReader(scratch, dict([found.blocks]), CANDIDATE_SCHEMA)
    wanted = [[("q1", "b", 2.0), ("q1", "a", 1.0)], [("q2", "a", 2.0), ("q2", "c", 1.0)]]
    assert [[tuple(row.values()) for row in blocks.read(block).to_pylist()] for block in (0, 1)] == wanted
    asked = BucketReader(scratch, dict([found.asked]), ASKED_SCHEMA)
    for bucket in (0, 1):
        rows = [(doc, 0, row) for row, doc in enumerate("baac") if zlib.crc32(doc.encode()) % 2 == bucket]
        assert [tuple(row.values()) for row in asked.read(bucket).to_pylist()] == rows


def test_the_first_row_of_an_id_stands() -> None:
    table = pa.table({"id": ["b", "a", "b", "c", "a"], "text": ["1", "2", "3", "4", "5"]})
    kept, others, _ = keep_first(table, "id")
    assert kept.to_pydict() == {"id": ["b", "a", "c"], "text": ["1", "2", "4"]} and others == 2
    assert keep_first(table.slice(0, 0), "id")[1:] == (0, 0)


@pytest.mark.parametrize("seed", range(4))
def test_rows_that_repeat_an_id_with_another_text_are_counted_apart(seed: int) -> None:
    draw = random.Random(seed)
    rows = [(draw.choice("abcd"), draw.choice(["x", "y", None]), draw.choice(["T", None])) for _ in range(40)]
    frame = pd.DataFrame(rows, columns=["id", "doc", "title"]).fillna("none")
    first = frame.groupby("id").transform("first")
    expected = (frame[["doc", "title"]] != first).any(axis=1).sum()
    table = pa.Table.from_pylist([dict(zip(frame.columns, row, strict=True)) for row in rows])
    chunked = pa.concat_tables([table.slice(0, 7), table.slice(7)])
    assert keep_first(chunked, "id")[1:] == (40 - len({row[0] for row in rows}), expected)
    assert 0 < expected < 36
