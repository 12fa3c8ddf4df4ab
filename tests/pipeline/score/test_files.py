"""A unit's score file holds each of its rows once, and is read back whole."""

import io
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from actors.rerankers.contract import Unscored
from pipeline.errors import RunError
from pipeline.score.files import (
    EXPLAINED,
    SCHEMA,
    encode_scores,
    make_score_table,
    read_score_file,
    read_scores,
    select_transient,
)
from pipeline.score.prompt import PromptedUnit
from pipeline.storage.folder import Folder


def unit(*rows: tuple[str | None, str], file: int = 6) -> PromptedUnit:
    """A unit of (query_id, kind)."""
    lines = [
        {
            "file": file,
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
    travels = pa.schema([field for field in SCHEMA if field.name != "rerank_score"])
    return PromptedUnit("000002-0001", pa.Table.from_pylist(lines, travels), [])


def score_file(rows: PromptedUnit, scores: list[float | Unscored], plan: str, texts: Any = None) -> bytes:
    return encode_scores(make_score_table(rows, scores, texts), plan)


def rows_of(data: bytes) -> list[dict[str, Any]]:
    return pq.read_table(io.BytesIO(data)).to_pylist()


def test_a_score_file_holds_the_rows_in_their_order() -> None:
    data = score_file(unit(("q1", "ok"), ("q2", "ok")), [0.25, -1.5], plan="p")
    common = {"file": 6, "kind": "ok", "reason": None, "truncated": False}
    assert rows_of(data) == [
        {"row": 10, "query_id": "q1", "doc_id": "d0", "first_stage_score": 0.0, "rerank_score": 0.25} | common,
        {"row": 11, "query_id": "q2", "doc_id": "d1", "first_stage_score": 0.5, "rerank_score": -1.5} | common,
    ]
    assert pq.read_schema(io.BytesIO(data)) == SCHEMA


def test_a_score_is_kept_to_the_bit() -> None:
    score = 0.1 + 0.2
    assert rows_of(score_file(unit(("q", "ok")), [score], plan="p"))[0]["rerank_score"] == score


def test_unscored_pairs_have_a_reason_and_no_score() -> None:
    rows = unit(("q", "ok"), ("q", "permanent"), ("q", "ok"), (None, "reject"), ("q", "ok"))
    data = score_file(rows, [0.5, Unscored("the model's score is nan"), 0.75], plan="p")
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
        score_file(unit(("q", "ok"), ("q", "permanent"), ("q", "ok")), scores, plan="p")


def test_score_files_come_back_whole_in_the_order_asked_for(tmp_path: Path) -> None:
    folder = Folder(str(tmp_path))
    folder.put_new("a", score_file(unit(("q1", "ok"), (None, "reject"), file=1), [0.25], plan="p"))
    folder.put_new("b", score_file(unit(("q2", "permanent"), file=2), [], plan="p"))
    rows = read_scores(folder, {"b": folder.files()["b"], "a": folder.files()["a"]}, "p", explain=False)
    assert rows.schema == SCHEMA
    assert [tuple(row.values()) for row in rows.to_pylist()] == [
        (2, 10, "q2", "d0", 0.0, None, "permanent", "permanent from the start", False),
        (1, 10, "q1", "d0", 0.0, 0.25, "ok", None, False),
        (1, 11, None, "d1", 0.5, None, "reject", "reject from the start", False),
    ]


def test_no_score_files_have_no_rows(tmp_path: Path) -> None:
    assert read_scores(Folder(str(tmp_path)), {}, "p", explain=True).schema == EXPLAINED


def test_a_score_file_of_row_groups_is_read_as_well(tmp_path: Path) -> None:
    """As rayrank 0.1 wrote them: one row group for each bucket of query ids, some of them empty."""
    table = pq.read_table(io.BytesIO(score_file(unit(("q1", "ok"), ("q2", "ok"), ("q3", "ok")), [1, 2, 3], "p")))
    path = tmp_path / "unit"
    with pq.ParquetWriter(path, table.schema) as writer:
        for start, count in ((1, 1), (0, 0), (2, 1), (0, 1)):
            writer.write_table(table.slice(start, count))
    rows = read_scores(Folder(str(tmp_path)), {"unit": path.stat().st_size}, "p", explain=False)
    assert rows["query_id"].to_pylist() == ["q2", "q3", "q1"]


def test_a_score_file_of_another_plan_is_refused_by_its_name(tmp_path: Path) -> None:
    folder = Folder(str(tmp_path))
    for name, plan in (("a", "p"), ("b", "q")):
        folder.put_new(name, score_file(unit(("q", "ok")), [0.5], plan))
    with pytest.raises(RunError, match=f"{tmp_path}/b: was written for another plan"):
        read_scores(folder, dict(reversed(folder.files().items())), "p", explain=False)


def test_what_the_model_wrote_is_kept_where_it_is_asked_for() -> None:
    rows = unit(("q", "ok"), ("q", "permanent"), ("q", "ok"), ("q", "ok"))
    scores: list[float | Unscored] = [0.5, Unscored("no answer"), 0.25]
    data = score_file(rows, scores, plan="p", texts=["because", "um", None])
    assert [row["explanation"] for row in rows_of(data)] == ["because", None, "um", None]
    assert "explanation" not in rows_of(score_file(rows, scores, plan="p"))[0]


def test_the_pairs_worth_another_try_are_those_with_a_transient_reason(tmp_path: Path) -> None:
    scores: list[float | Unscored] = [0.5, Unscored("too long"), Unscored("died", transient=True)]
    Folder(str(tmp_path)).put_new("u.parquet", score_file(unit(*[("q", "ok")] * 3), scores, plan="p"))
    stored = read_score_file(Folder(str(tmp_path)), "u")
    assert stored["kind"].to_pylist() == ["ok", "permanent", "transient"] and stored.schema.metadata is None
    pairs = pa.table({"row": [10, 11, 12, 13], "doc": ["a", "b", "c", "d"]})
    assert select_transient(pairs, Folder(str(tmp_path)), "u").to_pylist() == [{"row": 12, "doc": "c"}]


def test_a_score_file_is_small_and_one_row_group() -> None:
    data = score_file(unit(*[("q", "ok")] * 3), [0.5] * 3, plan="p")
    footer = pq.read_metadata(io.BytesIO(data))
    columns = [footer.row_group(0).column(i) for i in range(footer.num_columns)]
    assert footer.num_row_groups == 1
    assert {(column.compression, column.is_stats_set) for column in columns} == {("ZSTD", False)}
    repeated = {column.path_in_schema for column in columns if column.has_dictionary_page}
    assert repeated == {"file", "query_id", "kind", "reason"}
    assert pq.read_metadata(io.BytesIO(score_file(unit(), [], plan="p"))).num_rows == 0
