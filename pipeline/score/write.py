"""Puts units, and tells of each: to Prometheus, and as a line of JSON in the log of the worker that scored it."""

import json
import logging
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from actors.rerankers.contract import Unscored
from pipeline.score.files import REASONS, reasons_of
from pipeline.score.metrics import count_unit
from pipeline.score.prompt import PromptedUnit


class UnitWriter:
    """`put`, which gives the one row about a unit, with a word about it once it has put the unit.

    run: the plan's id, by which metrics, log lines and the manifest know the run.
    What is put is put, whatever becomes of the word about it.
    """

    def __init__(self, run: str, put: Callable[..., pa.Table]):
        self._run, self._put = run, put

    def __call__(self, unit: PromptedUnit, scores: list[float | Unscored], *more: Any) -> pa.Table:
        row = self._put(unit, scores, *more)
        if unit.rows is not None:  # else its scores were there
            try:
                self._tell(row.to_pylist()[0], unit.rows, scores)
            except Exception:  # of many kinds, and none is worth a unit, which would be scored again
                _complain()
        return row

    def _tell(self, line: dict[str, Any], rows: pa.Table, scores: list[float | Unscored]) -> None:
        """Of the reasons only their kinds: the reasons themselves may have words of a document or of the model."""
        truncated, kinds = pc.sum(rows["truncated"]).as_py() or 0, reasons_of(rows, scores)
        count_unit(self._run, line, kinds, truncated)
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        about = {"at": at, "run": self._run} | line | {"reasons": dict(kinds.most_common(REASONS))}
        _log().info(json.dumps(about | {"truncated": truncated, "seconds": round(line["seconds"], 3)}))


@cache
def _complain() -> None:
    """Logs, once a process, the exception that is being handled."""
    _log().exception("rayrank: a unit was put, and metrics or log were not told of it; this is logged once")


@cache
def _log() -> logging.Logger:
    """To stderr, which Ray keeps as a file for each worker; not to loggers above, which others may have set up."""
    log = logging.getLogger("rayrank.units")
    log.addHandler(logging.StreamHandler(sys.stderr))
    log.setLevel(logging.INFO)
    log.propagate = False
    return log
