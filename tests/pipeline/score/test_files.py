"""A unit's score file holds each of its rows once, and is read back whole; each query has one bucket."""

import io
import json
from collections import Counter
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
    bucket_count,
    encoded,
    put_scores,
    read_scores,
    score_table,
    worth_another_try,
)
from pipeline.score.prompt import PromptedUnit
from pipeline.storage.folder import Folder

FIGURES = {"prompt_tokens": 12, "seconds": 0.5}


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
    return encoded(score_table(rows, scores, texts), plan)


def rows_of(data: bytes) -> list[dict[str, Any]]:
    return pq.read_table(io.BytesIO(data)).to_pylist()


def test_buckets_grow_with_the_number_of_rows_alone() -> None:
    counts = {0: 1, 1: 1, 500_000: 1, 500_001: 2, 1_000_000: 2, 1_000_001: 3, 10**9: 2000}
    assert {rows: bucket_count(rows, explain=False) for rows in counts} == counts


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


def test_a_unit_is_put_with_one_line_about_it(tmp_path: Path) -> None:
    rows = unit(("q", "ok"), ("q", "permanent"), (None, "reject"), ("q", "ok"))
    assert rows.rows is not None
    reasons = Counter(filter(None, rows.rows["reason"].to_pylist())) + Counter(["unreadable"])
    folder = Folder(str(tmp_path))
    line = put_scores(folder, "p", False, rows, [0.5, Unscored("unreadable")], [None] * 2, FIGURES)
    counts = {"unit": "000002-0001", "rows": 4, "size": 4, "failed": 2, "rejected": 1}
    assert line.drop_columns("reasons").to_pylist() == [counts | FIGURES]
    assert json.loads(line["reasons"][0].as_py()) == reasons
    (name,) = folder.files()
    assert name == "000002-0001.parquet"
    assert [row["file"] for row in rows_of(folder.read(name))] == [6, 6, 6, 6]


def test_the_first_score_file_of_a_unit_stays(tmp_path: Path) -> None:
    folder = Folder(str(tmp_path))
    put_scores(folder, "p", False, unit(("q", "ok")), [0.5], [None], FIGURES)
    put_scores(folder, "p", False, unit(("q", "ok")), [0.75], [None], FIGURES)
    assert rows_of(folder.read("000002-0001.parquet"))[0]["rerank_score"] == 0.5


def test_rows_worth_another_try_are_told_by_a_file_beside_and_put_again_with_the_others(tmp_path: Path) -> None:
    folder = Folder(str(tmp_path))
    first = unit(("q", "ok"), ("q", "ok"), (None, "reject"), ("q", "ok"))
    scores: list[float | Unscored] = [0.5, *[Unscored("killed", transient=True)] * 2]
    put_scores(folder, "p", True, first, scores, ["a", None, None], FIGURES)
    assert [*folder.files()] == ["000002-0001.parquet", "000002-0001.transient"]

    again = worth_another_try(pa.table({"row": [10, 11, 12, 13], "doc": [*"abcd"]}), folder, "000002-0001")
    assert again.to_pylist() == [{"row": 11, "doc": "b"}, {"row": 13, "doc": "d"}]
    assert first.rows is not None
    second = PromptedUnit("000002-0001.r1", first.rows.filter(pa.array([False, True, False, True])), [])
    line = put_scores(folder, "p", True, second, [0.25, Unscored("unreadable")], ["b", None], FIGURES)
    assert [*folder.files()][1:] == ["000002-0001.r1.parquet", "000002-0001.transient"]
    assert line.select(["unit", "rows", "failed"]).to_pylist() == [{"unit": "000002-0001", "rows": 2, "failed": 1}]
    sizes = {"000002-0001.r1.parquet": folder.files()["000002-0001.r1.parquet"]}
    rows = read_scores(folder, sizes, "p", explain=True).to_pylist()
    assert [(row["row"], row["rerank_score"], row["kind"], row["explanation"]) for row in rows] == [
        (10, 0.5, "ok", "a"), (11, 0.25, "ok", "b"), (12, None, "reject", None), (13, None, "permanent", None)
    ]  # fmt: skip


def test_a_unit_that_was_there_already_puts_nothing(tmp_path: Path) -> None:
    line = put_scores(Folder(str(tmp_path)), "p", False, PromptedUnit("000002-0001", None, []), [], [], FIGURES)
    counts = {"unit": "000002-0001", "rows": 0, "size": 0, "failed": 0, "rejected": 0, "reasons": "{}"}
    assert line.to_pylist() == [counts | FIGURES]
    assert list(tmp_path.iterdir()) == []


def test_what_the_model_wrote_is_kept_where_it_is_asked_for() -> None:
    rows = unit(("q", "ok"), ("q", "permanent"), ("q", "ok"), ("q", "ok"))
    scores: list[float | Unscored] = [0.5, Unscored("no answer"), 0.25]
    data = score_file(rows, scores, plan="p", texts=["because", "um", None])
    assert [row["explanation"] for row in rows_of(data)] == ["because", None, "um", None]
    assert "explanation" not in rows_of(score_file(rows, scores, plan="p"))[0]


def test_explained_results_have_smaller_parts() -> None:
    assert [bucket_count(rows, explain=True) for rows in (1, 50_000, 50_001, 500_000)] == [1, 1, 2, 10]
    carried = {1: 1, 100_001: 2, 2 * 10**8: 2000, 6 * 10**8: 2000, 10**9: 2000, 2 * 10**9: 4000}
    assert {rows: bucket_count(rows, carried=True) for rows in carried} == carried


def test_a_mark_whose_file_has_nothing_to_try_is_followed_by_a_round_all_the_same(tmp_path: Path) -> None:
    """Its driver died between the two, and the next one's engine was well: else every later run would try again."""
    folder = Folder(str(tmp_path))
    first = unit(("q", "ok"), ("q", "ok"))
    put_scores(folder, "p", False, first, [0.5, 0.25], [None] * 2, FIGURES)
    folder.put_new("000002-0001.transient", b"")
    assert first.rows is not None
    put_scores(folder, "p", False, PromptedUnit("000002-0001.r1", first.rows.slice(0, 0), []), [], [], FIGURES)
    assert [*folder.files()] == ["000002-0001.parquet", "000002-0001.r1.parquet", "000002-0001.transient"]
    assert rows_of(folder.read("000002-0001.r1.parquet")) == rows_of(folder.read("000002-0001.parquet"))
