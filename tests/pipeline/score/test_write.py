"""A unit's score file is put once, and each unit that is put is reported in one line of JSON and in the metrics."""

import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from actors.rerankers.contract import Unscored
from pipeline.score import write as module
from pipeline.score.files import SCHEMA, read_scores, select_transient
from pipeline.score.prompt import PromptedUnit
from pipeline.score.write import UnitWriter
from pipeline.storage.folder import Folder

FIGURES = {"prompt_tokens": 40.0, "cached_tokens": 0.0, "new_tokens": 1.0, "seconds": 0.12345}
NAME = "000002-0001"


@pytest.fixture(autouse=True)
def counted(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple]]:
    """The calls of `count_unit`. The loggers are made again in each test, so that they write to its stderr."""
    calls: list[tuple] = []
    monkeypatch.setattr(module, "count_unit", lambda *given: calls.append(given))
    yield calls
    logging.getLogger("rayrank.units").handlers.clear()
    module._log.cache_clear()
    module._log_failed_report.cache_clear()


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(str(tmp_path))


def unit(*kinds: str, reason: str = "from the start", name: str = NAME) -> PromptedUnit:
    """A unit of rows of these kinds, the first of them truncated."""
    rows = [
        {
            "file": 6,
            "row": 10 + i,
            "query_id": None if kind == "reject" else "q",
            "doc_id": f"d{i}",
            "first_stage_score": i / 2,
            "kind": kind,
            "reason": None if kind == "ok" else reason,
            "truncated": i == 0,
        }
        for i, kind in enumerate(kinds)
    ]
    travels = pa.schema([field for field in SCHEMA if field.name != "rerank_score"])
    return PromptedUnit(name, pa.Table.from_pylist(rows, travels), [])


def select(whole: PromptedUnit, chosen: list[bool], name: str) -> PromptedUnit:
    """A later round of a unit: some of its rows."""
    assert whole.rows is not None
    return PromptedUnit(name, whole.rows.filter(pa.array(chosen, pa.bool_())), [])


def put(folder: Folder, unit: PromptedUnit, scores: list[Any], texts: list[Any] | None = None) -> dict[str, Any]:
    """Puts a unit, and keeps the texts where there are some. Returns its row."""
    written = UnitWriter(folder, "p", explain=texts is not None)(unit, scores, texts or [None] * len(scores), FIGURES)
    (row,) = written.to_pylist()
    return row


def read(folder: Folder, name: str) -> list[dict[str, Any]]:
    return pq.read_table(io.BytesIO(folder.read(f"{name}.parquet"))).to_pylist()


# The score file


def test_a_unit_is_put_and_its_row_has_its_figures(folder: Folder) -> None:
    row = put(folder, unit("ok", "permanent", "reject", "ok"), [0.5, Unscored("unreadable")])
    assert json.loads(row.pop("reasons")) == {"from the start": 2, "unreadable": 1}
    assert row == {"unit": NAME, "rows": 4, "size": 4, "failed": 2, "rejected": 1} | FIGURES
    assert [*folder.files()] == [f"{NAME}.parquet"]
    assert [stored["file"] for stored in read(folder, NAME)] == [6, 6, 6, 6]


def test_the_first_score_file_of_a_unit_stays(folder: Folder) -> None:
    put(folder, unit("ok"), [0.5])
    put(folder, unit("ok"), [0.75])
    assert read(folder, NAME)[0]["rerank_score"] == 0.5


def test_rows_worth_another_try_are_marked_by_a_file_and_put_again_with_the_others(folder: Folder) -> None:
    first = unit("ok", "ok", "reject", "ok")
    put(folder, first, [0.5, *[Unscored("killed", transient=True)] * 2], ["a", None, None])
    assert [*folder.files()] == [f"{NAME}.parquet", f"{NAME}.transient"]

    pairs = select_transient(pa.table({"row": [10, 11, 12, 13], "doc": [*"abcd"]}), folder, NAME)
    assert pairs.to_pylist() == [{"row": 11, "doc": "b"}, {"row": 13, "doc": "d"}]
    second = select(first, [False, True, False, True], f"{NAME}.r1")
    row = put(folder, second, [0.25, Unscored("unreadable")], ["b", None])
    assert [*folder.files()] == [f"{NAME}.parquet", f"{NAME}.r1.parquet", f"{NAME}.transient"]
    assert (row["unit"], row["rows"], row["size"], row["failed"]) == (NAME, 2, 4, 1)
    sizes = {f"{NAME}.r1.parquet": folder.files()[f"{NAME}.r1.parquet"]}
    rows = read_scores(folder, sizes, "p", explain=True).to_pylist()
    assert [(row["row"], row["rerank_score"], row["kind"], row["explanation"]) for row in rows] == [
        (10, 0.5, "ok", "a"), (11, 0.25, "ok", "b"), (12, None, "reject", None), (13, None, "permanent", None)
    ]  # fmt: skip


def test_a_mark_whose_file_has_nothing_to_try_is_followed_by_a_round_all_the_same(folder: Folder) -> None:
    """Its driver died between the two, and the next one's engine was well: else every later run would try again."""
    first = unit("ok", "ok")
    put(folder, first, [0.5, 0.25])
    folder.put_new(f"{NAME}.transient", b"")
    put(folder, select(first, [False, False], f"{NAME}.r1"), [])
    assert [*folder.files()] == [f"{NAME}.parquet", f"{NAME}.r1.parquet", f"{NAME}.transient"]
    assert read(folder, f"{NAME}.r1") == read(folder, NAME)


def test_a_unit_that_was_put_before_writes_and_reports_nothing(
    folder: Folder, counted: list, capsys: pytest.CaptureFixture
) -> None:
    counts = {"unit": NAME, "rows": 0, "size": 0, "failed": 0, "rejected": 0, "reasons": "{}"}
    assert put(folder, PromptedUnit(NAME, None, []), []) == counts | FIGURES
    assert [*folder.files()] == []
    assert capsys.readouterr().err == "" and counted == []


# The report


def test_each_unit_is_reported_in_one_line_of_json_on_stderr(
    folder: Folder, counted: list, capsys: pytest.CaptureFixture
) -> None:
    row = put(folder, unit("ok", "permanent", reason="document is empty"), [0.5])
    out, err = capsys.readouterr()
    (line,) = err.splitlines()
    reported = json.loads(line)
    assert reported.pop("at").endswith("+00:00")
    assert reported == row | {"run": "p", "reasons": {"document is empty": 1}, "truncated": 1, "seconds": 0.123}
    assert out == "" and counted == [("p", row, {"document is empty": 1}, 1)]


def test_reasons_are_reported_by_their_kinds_without_words_of_the_texts(
    folder: Folder, counted: list, capsys: pytest.CaptureFixture
) -> None:
    """Five hundred reasons of one kind, and one that quotes the model."""
    scores: list[float | Unscored] = [Unscored(f"prompt does not fit: {i} tokens") for i in range(500)]
    scores.append(Unscored("the model's answer is not a whole number of 0 to 10: 'my secret'"))
    row = put(folder, unit(*["ok"] * 501), scores)
    kinds = {"prompt does not fit": 500, "the model's answer is not a whole number of N to N": 1}
    ((_, _, reasons, _),) = counted
    err = capsys.readouterr().err
    assert reasons == json.loads(err)["reasons"] == json.loads(row["reasons"]) == kinds
    assert "secret" not in err + row["reasons"]


def test_the_driver_gets_the_commonest_kinds_of_reasons(folder: Folder, counted: list) -> None:
    scores = [Unscored("abcdefghijklmnop"[i]) for i in range(16) for _ in range(i + 1)]
    row = put(folder, unit(*["ok"] * len(scores)), scores)
    assert [*json.loads(row["reasons"])] == [*"ponmlkjihg"]
    ((_, _, reasons, _),) = counted
    assert len(reasons) == 16


def test_a_unit_that_was_put_stays_though_its_report_fails(
    folder: Folder, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError("the agent has gone")

    monkeypatch.setattr(module, "count_unit", fail)
    for number in range(3):
        name = f"000000-{number:04}"
        assert put(folder, unit("ok", name=name), [0.5])["unit"] == name
    assert len(folder.files()) == 3
    assert capsys.readouterr().err.count("RuntimeError: the agent has gone") == 1


def test_a_unit_that_cannot_be_put_is_an_error(tmp_path: Path, counted: list, capsys: pytest.CaptureFixture) -> None:
    class FullDisk(Folder):
        def put_new(self, name: str, data: bytes) -> bool:
            raise OSError("no space left")

    with pytest.raises(OSError, match="no space left"):
        put(FullDisk(str(tmp_path)), unit("ok"), [0.5])
    assert counted == [] and capsys.readouterr().err == ""
