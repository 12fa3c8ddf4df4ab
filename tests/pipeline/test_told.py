"""The word about each unit: one line of JSON, and nothing of a unit that was there."""

import json
import logging
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pytest

from pipeline import told as module
from pipeline.prompt import PromptedUnit
from pipeline.told import Told

LINE = {"unit": "000000-0001", "rows": 2, "failed": 1, "rejected": 0, "reasons": '{"document is empty": 1}',
        "prompt_tokens": 40.0, "cached_tokens": 0.0, "new_tokens": 1.0, "seconds": 0.12345}  # fmt: skip


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple]]:
    """What the metrics were told; loggers are made anew, to write where the test reads."""
    calls: list[tuple] = []
    monkeypatch.setattr(module, "count_unit", lambda *given: calls.append(given))
    yield calls
    logging.getLogger("rayrank.units").handlers.clear()
    module._log.cache_clear()


def put(*_: Any) -> pa.Table:
    return pa.Table.from_pylist([LINE])


def test_one_line_of_json_a_unit_to_stderr(counted: list, capsys: pytest.CaptureFixture) -> None:
    unit = PromptedUnit("000000-0001", pa.table({"truncated": [True, False]}), [])
    assert Told("run", put)(unit, [0.5], [None], {}).to_pylist() == [LINE]
    out, err = capsys.readouterr()
    (line,) = err.splitlines()
    said = json.loads(line)
    assert said.pop("at").endswith("+00:00")
    assert said == LINE | {"run": "run", "reasons": {"document is empty": 1}, "truncated": 1, "seconds": 0.123}
    assert out == "" and counted == [("run", LINE, {"document is empty": 1}, 1)]


def test_a_unit_whose_scores_were_there_is_not_told(counted: list, capsys: pytest.CaptureFixture) -> None:
    Told("run", put)(PromptedUnit("000000-0001", None, []), [], [], {})
    assert capsys.readouterr().err == "" and counted == []
