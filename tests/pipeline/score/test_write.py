"""A unit's score file is put once, and each unit that is put is reported in one line of JSON and in the metrics."""

import io
import json
import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from actors.rerankers.contract import Unscored
from pipeline.errors import RunError
from pipeline.input.listing import InputFile, list_inputs
from pipeline.plan.units import Unit
from pipeline.rows import replace_column
from pipeline.score import write as module
from pipeline.score.prompt import PromptedUnit
from pipeline.score.write import UnitWriter
from pipeline.storage.folder import Folder
from tests.pipeline.score.units import OF, make_unit

Make = Callable[..., PromptedUnit]
FIGURES = {"prompt_tokens": 40.0, "cached_tokens": 0.0, "new_tokens": 1.0, "seconds": 0.12345} | {
    "equal_prompts": 5.0,
    "label_replies": 3.0,
    "label_share": 2.5,
    "windows": 4.0,
    "windows_partial": 3.0,
    "windows_unread": 2.0,
    "windows_shortened": 1.0,
}
ONE, NAME = (Unit(OF, 100, 10, stop).name for stop in (11, 14))  # of units of one row, and of four


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
    return Folder(f"{tmp_path}/scores")


@pytest.fixture
def file(tmp_path: Path) -> InputFile:
    """An input file as it was listed."""
    (tmp_path / "in.parquet").write_bytes(b"rows")
    (file,) = list_inputs([str(tmp_path / "in.parquet")])
    return file


@pytest.fixture
def unit(file: InputFile) -> Callable[..., PromptedUnit]:
    """Makes a unit of rows of these kinds, the first of them truncated."""

    def make(*kinds: str, reason: str = "from the start", **named: Any) -> PromptedUnit:
        rows = ((None if kind == "reject" else "q", kind) for kind in kinds)
        return make_unit(*rows, file=file, reason=reason, **named)

    return make


def put(folder: Folder, unit: PromptedUnit, scores: list[Any], texts: list[Any] | None = None) -> dict[str, Any]:
    """Puts a unit, and keeps the texts where there are some. Returns its row."""
    written = UnitWriter(folder, "p", explain=texts is not None)(unit, scores, texts or [None] * len(scores), FIGURES)
    (row,) = written.to_pylist()
    return row


def read(folder: Folder, name: str) -> list[dict[str, Any]]:
    return pq.read_table(io.BytesIO(folder.read(name))).to_pylist()


# The score file


def test_a_unit_is_put_and_its_row_has_its_figures(folder: Folder, unit: Make) -> None:
    row = put(folder, unit("ok", "permanent", "reject", "ok"), [0.5, Unscored("unreadable")])
    assert json.loads(row.pop("reasons")) == {"from the start": 2, "unreadable": 1}
    figures = {"unit": NAME, "file": f"{NAME}.parquet", "rows": 4, "failed": 2, "rejected": 1}
    assert row == figures | FIGURES | {"passages": 0, "known": 0, "deleted": 0}
    assert [*folder.files()] == [f"{NAME}.parquet"]
    assert [stored["rerank_score"] for stored in read(folder, f"{NAME}.parquet")] == [0.5, None, None, None]


def test_the_first_score_file_of_a_unit_stays(folder: Folder, unit: Make) -> None:
    put(folder, unit("ok"), [0.5])
    put(folder, unit("ok"), [0.75])
    assert read(folder, f"{ONE}.parquet")[0]["rerank_score"] == 0.5


def test_what_the_model_wrote_is_kept_where_it_is_asked_for(folder: Folder, unit: Make) -> None:
    put(folder, unit("ok", "reject", "ok", "ok"), [0.5, 0.25, Unscored("unreadable")], ["a", None, "c"])
    put(folder, unit("ok"), [0.5])
    assert [row["explanation"] for row in read(folder, f"{NAME}.parquet")] == ["a", None, None, "c"]
    assert "explanation" not in read(folder, f"{ONE}.parquet")[0]


@pytest.mark.parametrize(
    "scores, ending",
    [
        ([0.5, 0.25], ".parquet"),
        ([0.5, Unscored("unreadable")], ".parquet"),
        ([Unscored("killed", transient=True), Unscored("unreadable")], ".transient.parquet"),
    ],
)
def test_the_name_says_whether_a_row_may_be_tried_again(
    scores: list[Any], ending: str, folder: Folder, unit: Make
) -> None:
    row = put(folder, unit("ok", "ok", "reject", "permanent"), scores)
    assert [*folder.files()] == [row["file"]] == [f"{NAME}{ending}"]


def test_prompts_that_were_cut_are_reported_where_they_were_made(
    folder: Folder, unit: Make, counted: list, capsys: pytest.CaptureFixture
) -> None:
    """A row that has the score of an earlier run was cut then."""
    known = unit("known", "ok")
    assert known.rows
    rows = replace_column(known.rows, "truncated", pa.array([True, True]))
    scores = pa.array([0.25, None])
    put(folder, known._replace(rows=rows.append_column("rerank_score", scores)), [0.5])
    assert counted[0][3] == 1 and json.loads(capsys.readouterr().err)["truncated"] == 1


def test_a_unit_without_rows_is_put(folder: Folder, unit: Make, counted: list) -> None:
    row = put(folder, unit(first=0), [])
    assert (row["file"], row["rows"]) == (f"{row['unit']}.parquet", 0)
    assert read(folder, row["file"]) == [] and len(counted) == 1


def test_a_unit_that_was_put_before_writes_and_reports_nothing(
    folder: Folder, counted: list, capsys: pytest.CaptureFixture
) -> None:
    counts = {"unit": NAME, "file": "", "rows": 0, "failed": 0, "rejected": 0, "reasons": "{}"}
    assert put(folder, PromptedUnit(NAME, None, None, [], []), []) == counts | FIGURES | {
        "passages": 0,
        "known": 0,
        "deleted": 0,
    }
    assert [*folder.files()] == []
    assert capsys.readouterr().err == "" and counted == []


CHANGES: dict[str, Callable[[Path], Any]] = {
    "written again": lambda path: path.write_bytes(b"ROWS"),
    "longer": lambda path: path.write_bytes(b"rows and rows"),
    "another time": lambda path: os.utime(path, (1, 1)),
    "gone": lambda path: path.unlink(),
}


@pytest.mark.parametrize("change", CHANGES)
def test_scores_of_a_file_that_has_changed_are_not_put(
    change: str, folder: Folder, unit: Make, file: InputFile, counted: list
) -> None:
    CHANGES[change](Path(file.path))
    with pytest.raises(RunError, match=r"in\.parquet: has changed") as error:
        put(folder, unit("ok"), [0.5])
    assert ([*folder.files()], counted, error.value.exit_code) == ([], [], 1)


def test_scores_of_an_object_that_has_changed_are_not_put(folder: Folder, s3_server: str) -> None:
    bucket = Folder("s3://bucket/write")
    bucket.put("in.parquet", b"rows")
    (file,) = list_inputs([bucket.url])
    put(folder, make_unit(("q", "ok"), file=file), [0.5])
    bucket.put("in.parquet", b"ROWS")
    with pytest.raises(RunError, match=r"s3://bucket/write/in\.parquet: has changed"):
        put(folder, make_unit(("q", "ok"), ("q", "ok"), file=file), [0.5, 0.25])
    assert [*folder.files()] == [f"{ONE}.parquet"]


# The report


def test_each_unit_is_reported_in_one_line_of_json_on_stderr(
    folder: Folder, unit: Make, counted: list, capsys: pytest.CaptureFixture
) -> None:
    row = put(folder, unit("ok", "permanent", reason="document is empty"), [0.5])
    out, err = capsys.readouterr()
    (line,) = err.splitlines()
    reported = json.loads(line)
    assert reported.pop("at").endswith("+00:00")
    assert reported == row | {"run": "p", "reasons": {"document is empty": 1}, "truncated": 1, "seconds": 0.123}
    assert out == "" and counted == [("p", row, {"document is empty": 1}, 1)]


def test_reasons_are_reported_by_their_kinds_without_words_of_the_texts(
    folder: Folder, unit: Make, counted: list, capsys: pytest.CaptureFixture
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


def test_the_driver_gets_the_commonest_kinds_of_reasons(folder: Folder, unit: Make, counted: list) -> None:
    scores = [Unscored("abcdefghijklmnop"[i]) for i in range(16) for _ in range(i + 1)]
    row = put(folder, unit(*["ok"] * len(scores)), scores)
    assert [*json.loads(row["reasons"])] == [*"ponmlkjihg"]
    ((_, _, reasons, _),) = counted
    assert len(reasons) == 16


def test_a_unit_that_was_put_stays_though_its_report_fails(
    folder: Folder, unit: Make, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError("the agent has gone")

    monkeypatch.setattr(module, "count_unit", fail)
    for number in range(3):
        assert put(folder, unit("ok", first=number), [0.5])["rows"] == 1
    assert len(folder.files()) == 3
    assert capsys.readouterr().err.count("RuntimeError: the agent has gone") == 1


def test_a_unit_that_cannot_be_put_is_an_error(
    tmp_path: Path, unit: Make, counted: list, capsys: pytest.CaptureFixture
) -> None:
    class FullDisk(Folder):
        def put_new(self, name: str, data: bytes) -> bool:
            raise OSError("no space left")

    with pytest.raises(OSError, match="no space left"):
        put(FullDisk(str(tmp_path)), unit("ok"), [0.5])
    assert counted == [] and capsys.readouterr().err == ""
