"""The word about each unit: one line of JSON, and nothing of a unit that was there."""

import json
import logging
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pytest

from actors.rerankers.contract import Unscored
from pipeline.score import write as module
from pipeline.score.prompt import PromptedUnit
from pipeline.score.write import UnitWriter

LINE = {"unit": "000000-0001", "rows": 2, "failed": 1, "rejected": 0, "reasons": '{"words of the document: 17": 1}',
        "prompt_tokens": 40.0, "cached_tokens": 0.0, "new_tokens": 1.0, "seconds": 0.12345}  # fmt: skip


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple]]:
    """What the metrics were told; loggers are made anew, to write where the test reads."""
    calls: list[tuple] = []
    monkeypatch.setattr(module, "count_unit", lambda *given: calls.append(given))
    yield calls
    logging.getLogger("rayrank.units").handlers.clear()
    module._log.cache_clear()
    module._complain.cache_clear()


def put(*_: Any) -> pa.Table:
    return pa.Table.from_pylist([LINE])


def unit(*reasons: str | None) -> PromptedUnit:
    """A unit of rows that had these problems from the start, the first of them truncated."""
    cut = [i == 0 for i in range(len(reasons))]
    return PromptedUnit("000000-0001", pa.table({"truncated": cut, "reason": pa.array(reasons, pa.string())}), [])


def test_one_line_of_json_a_unit_to_stderr(counted: list, capsys: pytest.CaptureFixture) -> None:
    assert UnitWriter("run", put)(unit(None, "document is empty"), [0.5], [None], {}).to_pylist() == [LINE]
    out, err = capsys.readouterr()
    (line,) = err.splitlines()
    said = json.loads(line)
    assert said.pop("at").endswith("+00:00")
    assert said == LINE | {"run": "run", "reasons": {"document is empty": 1}, "truncated": 1, "seconds": 0.123}
    assert out == "" and counted == [("run", LINE, {"document is empty": 1}, 1)]


def test_a_unit_whose_scores_were_there_is_not_told(counted: list, capsys: pytest.CaptureFixture) -> None:
    UnitWriter("run", put)(PromptedUnit("000000-0001", None, []), [], [], {})
    assert capsys.readouterr().err == "" and counted == []


def test_reasons_are_told_by_their_kinds_and_without_words_of_the_texts(
    counted: list, capsys: pytest.CaptureFixture
) -> None:
    """The row that goes to the driver has ten reasons; of these there are 500, and one."""
    scores: list[float | Unscored] = [Unscored(f"prompt does not fit: {i} tokens") for i in range(500)]
    scores.append(Unscored("the model's answer is not a whole number of 0 to 10: 'my secret'"))
    UnitWriter("run", put)(unit(*[None] * 501), scores, [None] * 501, {})
    kinds = {"prompt does not fit": 500, "the model's answer is not a whole number of N to N": 1}
    ((_, _, told, _),) = counted
    err = capsys.readouterr().err
    assert told == json.loads(err)["reasons"] == kinds
    assert "secret" not in err and "words of the document" not in err


def test_a_unit_that_was_put_stands_though_nobody_can_be_told(
    counted: list, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    def broken(*_: Any) -> None:
        raise RuntimeError("the agent has gone")

    monkeypatch.setattr(module, "count_unit", broken)
    for _ in range(3):
        assert UnitWriter("run", put)(unit(None), [0.5], [None], {}).to_pylist() == [LINE]
    assert capsys.readouterr().err.count("RuntimeError: the agent has gone") == 1


def test_a_unit_that_could_not_be_put_is_an_error(counted: list) -> None:
    def full(*_: Any) -> pa.Table:
        raise OSError("no space left")

    with pytest.raises(OSError, match="no space left"):
        UnitWriter("run", full)(unit(None), [0.5], [None], {})
    assert counted == []
