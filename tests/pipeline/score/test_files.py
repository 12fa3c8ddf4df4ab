"""A unit's score file holds each of its rows once, and is read back whole. Files that overlap: test_overlap.py."""

import io
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from actors.rerankers.contract import Unscored
from pipeline.plan.units import parse_score_file
from pipeline.score.files import SCHEMA, StoredScores, encode_scores, get_schema, make_score_table, read_scores
from pipeline.score.prompt import PromptedUnit
from pipeline.storage.folder import Folder
from tests.pipeline.score.units import make_unit, texts_of


def score_file(rows: PromptedUnit, scores: list[float | Unscored], texts: Any = None) -> bytes:
    return encode_scores(make_score_table(rows, scores, texts))


def rows_of(data: bytes) -> list[dict[str, Any]]:
    return pq.read_table(io.BytesIO(data)).to_pylist()


def store(folder: Folder, unit: PromptedUnit, data: bytes, number: int) -> StoredScores:
    folder.put_new(f"{unit.name}.parquet", data)
    found = parse_score_file(f"{unit.name}.parquet")
    assert found
    return StoredScores(found, number, len(data))


def test_a_score_file_holds_the_rows_in_their_order() -> None:
    data = score_file(make_unit(("q1", "ok"), ("q2", "ok")), [0.25, -1.5])
    common = {"kind": "ok", "reason": None}
    first = {
        "row": 10,
        "texts": texts_of(10),
        "query_text": None,
        "query_id": "q1",
        "doc_id": "d10",
        "first_stage_score": 5.0,
    }
    second = {
        "row": 11,
        "texts": texts_of(11),
        "query_text": None,
        "query_id": "q2",
        "doc_id": "d11",
        "first_stage_score": 5.5,
    }
    assert rows_of(data) == [
        first | {"rerank_score": 0.25, "truncated": True} | common,
        second | {"rerank_score": -1.5, "truncated": False} | common,
    ]
    assert pq.read_schema(io.BytesIO(data)) == SCHEMA


def test_a_score_is_kept_to_the_bit() -> None:
    score = 0.1 + 0.2
    assert rows_of(score_file(make_unit(("q", "ok")), [score]))[0]["rerank_score"] == score


def test_unscored_pairs_have_a_reason_and_no_score() -> None:
    rows = make_unit(("q", "ok"), ("q", "permanent"), ("q", "ok"), (None, "reject"), ("q", "ok"), ("q", "ok"))
    scores: list[float | Unscored] = [0.5, Unscored("the score is nan"), Unscored("killed", transient=True), 0.75]
    assert [(row["rerank_score"], row["kind"], row["reason"]) for row in rows_of(score_file(rows, scores))] == [
        (0.5, "ok", None),
        (None, "permanent", "permanent from the start"),
        (None, "permanent", "the score is nan"),
        (None, "reject", "reject from the start"),
        (None, "transient", "killed"),
        (0.75, "ok", None),
    ]


@pytest.mark.parametrize("scores", [[], [0.1], [0.1, 0.2, 0.3]], ids=len)
def test_another_number_of_scores_than_pairs_is_an_error(scores: list[float | Unscored]) -> None:
    with pytest.raises(ValueError, match="scores for 2 rows"):
        score_file(make_unit(("q", "ok"), ("q", "permanent"), ("q", "ok")), scores)


def test_score_files_come_back_whole_in_the_order_asked_for(tmp_path: Path) -> None:
    """With the number of their input file, which is not in them."""
    folder = Folder(str(tmp_path))
    a, b = make_unit(("q1", "ok"), (None, "reject")), make_unit(("q2", "permanent"), first=12)
    stored = [store(folder, b, score_file(b, []), 7), store(folder, a, score_file(a, [0.25]), 2)]
    rows = read_scores(folder, stored, explain=False)
    assert rows.schema == get_schema(explain=False) == pa.schema([("file", pa.int32()), *SCHEMA])
    assert [tuple(row.values()) for row in rows.drop_columns(["texts", "query_text"]).to_pylist()] == [
        (7, 12, "q2", "d12", 6.0, None, "permanent", "permanent from the start", True),
        (2, 10, "q1", "d10", 5.0, 0.25, "ok", None, True),
        (2, 11, None, "d11", 5.5, None, "reject", "reject from the start", False),
    ]
    assert rows["texts"].to_pylist() == [texts_of(12), texts_of(10), texts_of(11)]


@pytest.mark.parametrize("explain", [False, True])
def test_no_score_files_have_no_rows(explain: bool, tmp_path: Path) -> None:
    rows = read_scores(Folder(str(tmp_path)), [], explain)
    assert (len(rows), "explanation" in rows.column_names) == (0, explain)
    assert rows.schema == get_schema(explain)


def test_what_the_model_wrote_is_kept_where_it_is_asked_for(tmp_path: Path) -> None:
    unit = make_unit(("q", "ok"), ("q", "permanent"), ("q", "ok"), ("q", "ok"))
    scores: list[float | Unscored] = [0.5, Unscored("no answer"), 0.25]
    data = score_file(unit, scores, texts=["because", "um", None])
    folder = Folder(str(tmp_path))
    stored = [store(folder, unit, data, 0)]
    assert read_scores(folder, stored, explain=True)["explanation"].to_pylist() == ["because", None, "um", None]
    assert read_scores(folder, stored, explain=False).schema == get_schema(explain=False)
    assert "explanation" not in rows_of(score_file(unit, scores))[0]


def test_a_score_file_is_small_and_one_row_group() -> None:
    data = score_file(make_unit(*[("q", "ok")] * 3), [0.5] * 3)
    footer = pq.read_metadata(io.BytesIO(data))
    columns = [footer.row_group(0).column(i) for i in range(footer.num_columns)]
    assert footer.num_row_groups == 1
    assert {(column.compression, column.is_stats_set) for column in columns} == {("ZSTD", False)}
    repeated = {column.path_in_schema for column in columns if column.has_dictionary_page}
    assert repeated == {"query_id", "query_text", "kind", "reason"}
    assert rows_of(score_file(make_unit(), [])) == []
