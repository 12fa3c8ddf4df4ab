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

from pipeline.metrics import count_unit
from pipeline.prompt import PromptedUnit


class Told:
    """`put`, which gives the one row about a unit, with a word about it once it has put the unit.

    run: the plan's id, by which metrics, log lines and the manifest know the run.
    """

    def __init__(self, run: str, put: Callable[..., pa.Table]):
        self._run, self._put = run, put

    def __call__(self, unit: PromptedUnit, *scored: Any) -> pa.Table:
        row = self._put(unit, *scored)
        if unit.rows is not None:  # else its scores were there
            (line,) = row.to_pylist()
            truncated = pc.sum(unit.rows["truncated"]).as_py() or 0
            reasons = json.loads(line["reasons"])
            count_unit(self._run, line, reasons, truncated)
            at = datetime.now(UTC).isoformat(timespec="milliseconds")
            about = {"at": at, "run": self._run} | line | {"reasons": reasons, "truncated": truncated}
            _log().info(json.dumps(about | {"seconds": round(line["seconds"], 3)}))
        return row


@cache
def _log() -> logging.Logger:
    """To stderr, which Ray keeps as a file for each worker; not to loggers above, which others may have set up."""
    log = logging.getLogger("rayrank.units")
    log.addHandler(logging.StreamHandler(sys.stderr))
    log.setLevel(logging.INFO)
    log.propagate = False
    return log
