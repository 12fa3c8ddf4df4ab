"""A unit's score file holds each of its rows once, in the bucket of its query."""

import io
import json
import zlib
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from actors.contract import Unscored
from pipeline.parquet import read_row_group
from pipeline.prompt import PromptedUnit
from pipeline.scores import SCHEMA, bucket_count, bucket_of, put_scores, score_file
from pipeline.storage import Folder

FIGURES = {"prompt_tokens": 12, "seconds": 0.5}


def unit(*rows: tuple[str | None, str]) -> PromptedUnit:
    """A unit of (query_id, kind)."""
    lines = [
        {
            "row": 10 + i,
            "query_id": query,
            "doc_id": f"d{i}",
            "first_stage_score": i / 2,
            "kind": kind,
            "reason": None if kind == "ok" else f"{kind} from the start",
            "truncated": False,
        }
        for i, (query, kind) in enumerate(rows)
    ]
    travels = pa.schema([field for field in SCHEMA if field.name not in ("file", "rerank_score")])
    return PromptedUnit("000002-0001", pa.Table.from_pylist(lines, travels), [])


def rows_of(data: bytes) -> list[dict[str, Any]]:
    return pq.read_table(io.BytesIO(data)).to_pylist()


def test_buckets_grow_with_the_number_of_rows_alone() -> None:
    counts = {0: 1, 1: 1, 500_000: 1, 500_001: 2, 1_000_000: 2, 1_000_001: 3, 10**9: 2000}
    assert {rows: bucket_count(rows, explain=False) for rows in counts} == counts


def test_the_bucket_is_the_crc_32_of_the_id_modulo_their_number() -> None:
    assert bucket_of(pa.chunked_array([["123456789"]]), 1000).tolist() == [0xCBF43926 % 1000]  # CRC-32's check value
    ids = ["q1", "é", "q2", "q1", "", "\U0001f600"]
    expected = [zlib.crc32(value.encode()) % 7 for value in ids]
    assert bucket_of(pa.chunked_array([ids]), 7).tolist() == expected
    assert bucket_of(pa.chunked_array([ids[:2], ids[2:]]), 7).tolist() == expected


def test_null_ids_go_to_bucket_0() -> None:
    assert bucket_of(pa.chunked_array([pa.array(["q1", None])]), 2**32).tolist() == [zlib.crc32(b"q1"), 0]
    assert bucket_of(pa.chunked_array([pa.nulls(2, pa.string())]), 5).tolist() == [0, 0]


def test_no_ids_have_no_buckets() -> None:
    assert bucket_of(pa.chunked_array([], pa.string()), 5).tolist() == []


def test_a_score_file_of_one_bucket_holds_the_rows_in_their_order() -> None:
    data = score_file(unit(("q1", "ok"), ("q2", "ok")), [0.25, -1.5], plan="p", file=4, buckets=1)
    common = {"file": 4, "kind": "ok", "reason": None, "truncated": False}
    assert rows_of(data) == [
        {"row": 10, "query_id": "q1", "doc_id": "d0", "first_stage_score": 0.0, "rerank_score": 0.25} | common,
        {"row": 11, "query_id": "q2", "doc_id": "d1", "first_stage_score": 0.5, "rerank_score": -1.5} | common,
    ]
    assert pq.read_schema(io.BytesIO(data)) == SCHEMA


def test_a_score_is_kept_to_the_bit() -> None:
    score = 0.1 + 0.2
    assert rows_of(score_file(unit(("q", "ok")), [score], plan="p", file=0, buckets=1))[0]["rerank_score"] == score


def test_unscored_pairs_have_a_reason_and_no_score() -> None:
    rows = unit(("q", "ok"), ("q", "permanent"), ("q", "ok"), (None, "reject"), ("q", "ok"))
    data = score_file(rows, [0.5, Unscored("the model's score is nan"), 0.75], plan="p", file=0, buckets=1)
    assert [(row["rerank_score"], row["kind"], row["reason"]) for row in rows_of(data)] == [
        (0.5, "ok", None),
        (None, "permanent", "permanent from the start"),
        (None, "permanent", "the model's score is nan"),
        (None, "reject", "reject from the start"),
        (0.75, "ok", None),
    ]


@pytest.mark.parametrize("scores", [[], [0.1], [0.1, 0.2, 0.3]], ids=len)
def test_another_number_of_scores_than_pairs_is_an_error(scores: list[float | Unscored]) -> None:
    with pytest.raises(ValueError, match="zip"):
        score_file(unit(("q", "ok"), ("q", "permanent"), ("q", "ok")), scores, plan="p", file=0, buckets=1)


def test_each_bucket_is_one_row_group_and_comes_back_as_its_rows(tmp_path: Path) -> None:
    queries = [f"q{i % 11}" for i in range(200)] + [None]
    rows = unit(*((query, "ok" if query else "reject") for query in queries))
    data = score_file(rows, [i / 8 for i in range(200)], plan="p", file=1, buckets=5)
    path = tmp_path / "unit.parquet"
    path.write_bytes(data)
    assert pq.ParquetFile(path).metadata.num_row_groups == 5
    for bucket in range(5):
        part = read_row_group(str(path), len(data), bucket)
        here = [i for i, query in enumerate(queries) if zlib.crc32((query or "").encode()) % 5 == bucket]
        assert part.schema == SCHEMA
        assert part["row"].to_pylist() == [10 + i for i in here]
        assert part["query_id"].to_pylist() == [queries[i] for i in here]
        assert part["rerank_score"].to_pylist() == [i / 8 if i < 200 else None for i in here]


def test_a_bucket_without_rows_is_an_empty_row_group(tmp_path: Path) -> None:
    data = score_file(unit(("q", "ok")), [0.5], plan="p", file=0, buckets=3)
    (tmp_path / "unit.parquet").write_bytes(data)
    groups = [read_row_group(str(tmp_path / "unit.parquet"), len(data), bucket) for bucket in range(3)]
    assert [len(group) for group in groups] == [int(bucket == zlib.crc32(b"q") % 3) for bucket in range(3)]
    assert all(group.schema == SCHEMA for group in groups)


def test_a_unit_is_put_with_one_line_about_it(tmp_path: Path) -> None:
    rows = unit(("q", "ok"), ("q", "permanent"), (None, "reject"), ("q", "ok"))
    assert rows.rows is not None
    reasons = Counter(filter(None, rows.rows["reason"].to_pylist())) + Counter(["unreadable"])
    folder = Folder(str(tmp_path))
    line = put_scores(
        folder, "p", {"000002-0001": 6}, 2, False, rows, [0.5, Unscored("unreadable")], [None] * 2, FIGURES
    )
    counts = {"unit": "000002-0001", "rows": 4, "failed": 2, "rejected": 1}
    assert line.drop_columns("reasons").to_pylist() == [counts | FIGURES]
    assert json.loads(line["reasons"][0].as_py()) == reasons
    (name,) = folder.files()
    assert name == "000002-0001.parquet"
    assert [row["file"] for row in rows_of(folder.read(name))] == [6, 6, 6, 6]


def test_the_first_score_file_of_a_unit_stays(tmp_path: Path) -> None:
    folder, files = Folder(str(tmp_path)), {"000002-0001": 0}
    put_scores(folder, "p", files, 1, False, unit(("q", "ok")), [0.5], [None], FIGURES)
    put_scores(folder, "p", files, 1, False, unit(("q", "ok")), [0.75], [None], FIGURES)
    assert rows_of(folder.read("000002-0001.parquet"))[0]["rerank_score"] == 0.5


def test_a_unit_that_was_there_already_puts_nothing(tmp_path: Path) -> None:
    line = put_scores(Folder(str(tmp_path)), "p", {}, 1, False, PromptedUnit("000002-0001", None, []), [], [], FIGURES)
    counts = {"unit": "000002-0001", "rows": 0, "failed": 0, "rejected": 0, "reasons": "{}"}
    assert line.to_pylist() == [counts | FIGURES]
    assert list(tmp_path.iterdir()) == []


def test_what_the_model_wrote_is_kept_where_it_is_asked_for() -> None:
    rows = unit(("q", "ok"), ("q", "permanent"), ("q", "ok"), ("q", "ok"))
    scores: list[float | Unscored] = [0.5, Unscored("no answer"), 0.25]
    data = score_file(rows, scores, plan="p", file=0, buckets=1, texts=["because", "um", None])
    assert [row["explanation"] for row in rows_of(data)] == ["because", None, "um", None]
    assert "explanation" not in rows_of(score_file(rows, scores, plan="p", file=0, buckets=1))[0]


def test_explained_results_have_smaller_parts() -> None:
    assert [bucket_count(rows, explain=True) for rows in (1, 50_000, 50_001, 500_000)] == [1, 1, 2, 10]
