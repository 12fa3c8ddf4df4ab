"""The counts of a bucket, and the content of its part of the result."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.config import Fusion
from pipeline.input.listing import InputFile
from pipeline.rank.part import RankBucket, WritePart
from pipeline.rank.rank import Which
from pipeline.score.files import get_schema
from pipeline.storage.folder import Folder

ALONE = Fusion(method="none")
COLUMNS = ("file", "row", "query_id", "doc_id", "texts", "first_stage_score", "rerank_score", "kind", "reason")
ROWS: list[tuple[Any, ...]] = [
    (0, 0, "q", "a", "x", 1.0, 0.9, "ok", None),
    (0, 1, "q", "a", "x", 1.0, 0.9, "ok", None),
    (0, 2, "q", "b", "x", 1.0, 0.8, "ok", None),
    (0, 3, "q", "b", "y", 1.0, None, "transient", "the engine broke: 17"),
    (0, 4, "q", "b", "x", 1.0, 0.8, "ok", None),
    (0, 5, "q", "c", "z", 1.0, None, "permanent", "prompt has 600 tokens of 512"),
    (0, 6, "q", "d", "z", 0.5, None, "permanent", "prompt has 700 tokens of 512"),
    (1, 0, "q", "e", "z", 0.4, None, "permanent", "document is empty"),
    (1, 1, None, "f", "z", 1.0, None, "reject", "query_id is null"),
    (1, 2, "p", "a", "z", 1.0, 0.1, "ok", None),
    (1, 3, "q", "g", "z", 0.3, None, "late", "not scored in time"),
    (1, 4, "q", "g", "z", 0.3, None, "late", "not scored in time"),
]


def read(_: int) -> pa.Table:
    rows = [dict(zip(COLUMNS, row, strict=True)) for row in ROWS]
    rows = [row | {"texts": row["texts"].encode() * 16, "truncated": row["doc_id"] == "a"} for row in rows]
    written = pa.array([f"because {row['doc_id']}" for row in rows], pa.large_string())
    return pa.Table.from_pylist(rows, get_schema(explain=False)).append_column("explanation", written)


@pytest.mark.parametrize(
    ("which", "again", "equal"),
    [
        ("first", "duplicate of an earlier row with the same query_id and doc_id", "equal to an earlier row"),
        ("last", "duplicate of a later row with the same query_id and doc_id", "equal to a later row"),
    ],
)
@pytest.mark.parametrize(("top_k", "ranked"), [(None, 7), (2, 3)])
def test_what_is_counted(which: Which, again: str, equal: str, top_k: int | None, ranked: int) -> None:
    """Rows below top_k count where they have no score."""
    counts = RankBucket(read, ALONE, top_k, which)(0).counts
    assert counts._asdict() == {
        "rows": 12,
        "ranked": ranked,
        "queries": 2,
        "unscored": 4,
        "rejected": 5,
        "equal": 3,
        "transient": 1,
        "truncated": 3,
        "reasons": {
            "prompt has N tokens of N": 2,
            "document is empty": 1,
            "query_id is null": 1,
            again: 1,
            equal: 3,
            "not scored in time": 1,
        },
        "odd": {"several_texts": 0, "in_order": 0, "contrary": 0},
        "late": 1,
        "deleted": 0,
    }


def test_a_part_has_the_ranked_rows_and_names_the_files_of_the_others(tmp_path: Path) -> None:
    files = [InputFile(path, 1, "") for path in ("s3://b/a.parquet", "s3://b/b.parquet")]
    write = WritePart(RankBucket(read, ALONE, None), Folder(str(tmp_path)), files, {}, None, True, "0123456789ab")
    part = write(3)
    assert part.part == "ranked/part-00003-0123456789ab.parquet"
    assert part.rejects == "rejects/part-00003-0123456789ab.parquet"
    table = pq.read_table(tmp_path / part.part)
    names = ["query_id", "doc_id", "rank", "score", "first_stage_score", "rerank_score", "reason", "explanation"]
    assert table.column_names == names
    assert table["doc_id"].to_pylist() == ["a", *"abcdeg"]
    assert table["explanation"].to_pylist() == [f"because {doc}" for doc in ["a", *"abcdeg"]]
    rejects = pq.read_table(tmp_path / part.rejects)
    assert rejects["file"].to_pylist() == [files[number].path for number in (0, 0, 0, 1, 1)]


def test_a_part_without_rejects_names_none_and_one_that_is_there_is_replaced(tmp_path: Path) -> None:
    def read_good(_: int) -> pa.Table:
        return read(0).slice(9, 1)

    folder = Folder(str(tmp_path))
    folder.put("ranked/part-00000-0123456789ab.parquet", b"of scores that were thrown away")
    part = WritePart(RankBucket(read_good, ALONE, None), folder, [], {}, None, True, "0123456789ab")(0)
    assert part.rejects is None and not (tmp_path / "rejects").exists()
    assert len(pq.read_table(tmp_path / part.part)) == 1
