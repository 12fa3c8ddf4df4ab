"""Writes the scores of a unit, and reports them: to Prometheus, and as a line of JSON in the log of the worker."""

import json
import logging
import sys
from collections import Counter
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from actors.rerankers.contract import Unscored
from actors.rerankers.passages import join_passages
from actors.rerankers.settings import Passages
from pipeline.input.versions import check_unchanged
from pipeline.plan.units import name_score_file
from pipeline.rows import DELETED, KNOWN, PERMANENT, REJECT, count_kinds
from pipeline.score.files import SCHEMA, encode_scores, has_transient, make_score_table
from pipeline.score.metrics import count_unit
from pipeline.score.prompt import PromptedUnit
from pipeline.storage.folder import Folder

REPORTED_REASONS = 10  # kinds of reasons of a unit, at most, that are reported while the job runs


@dataclass(frozen=True)
class UnitStats:
    """The figures of a unit, which go to the driver as one row.

    file: its score file; empty, as all its figures, where its scores were put before. rows: how many were read now.
    failed: rows without a score. rejected: rows without a place in the result. reasons: the commonest kinds of reasons
    -> rows, as JSON (Arrow would give each row every other row's keys). seconds: from the worker's getting the unit
    until it was scored. equal_prompts, label_replies, label_share: see actors/worker/pending.py. windows, and what
    follows: see WINDOW_FIGURES of the contract of rerankers. passages: how many were scored, where documents are cut
    into some. known: rows that have the score of an earlier run. deleted: rows that the table has deleted, which are in
    none of the others but `rows`.
    """

    unit: str
    file: str
    rows: int
    failed: int
    rejected: int
    reasons: str
    prompt_tokens: float
    cached_tokens: float
    new_tokens: float
    seconds: float
    equal_prompts: float = 0
    label_replies: float = 0
    label_share: float = 0
    windows: float = 0
    windows_partial: float = 0
    windows_unread: float = 0
    windows_shortened: float = 0
    passages: int = 0
    known: int = 0
    deleted: int = 0

    def sums(self) -> dict[str, float]:
        """The figures that are summed over units."""
        numbers = {name: value for name, value in asdict(self).items() if name not in ("unit", "file", "reasons")}
        return numbers | {"units_now": int(self.rows > 0)}  # else its scores were put before


class UnitWriter:
    """Writes units' score files, and reports each.

    run: stands for the run in metrics, log lines and the manifest. explain: whether to keep what the model wrote.
    passages: how documents were cut. A unit that is written stays written, even if the report fails.
    """

    def __init__(self, scores: Folder, run: str, explain: bool, passages: Passages | None = None):
        self._scores, self._run, self._explain, self._passages = scores, run, explain, passages

    def __call__(
        self,
        unit: PromptedUnit,
        scores: list[float | Unscored],
        texts: list[str | None],
        figures: dict[str, float],
    ) -> pa.Table:
        """Puts a unit's score file, unless there is one. Returns its UnitStats as a table of one row.

        scores, texts: of the unit's prompts. figures: the other fields of UnitStats.
        Raises RunError where the unit's input file is not the one that was listed any more.
        """
        rows = unit.rows if unit.rows is not None else SCHEMA.empty_table()
        if self._passages:
            scores, texts = join_passages(scores, texts, unit.passages, self._passages)
        file = self._put(unit, scores, texts) if unit.rows is not None else ""
        kinds, reasons = rows["kind"].to_pylist(), count_reasons(rows, scores)
        stats = UnitStats(
            unit=unit.name,
            file=file,
            rows=len(rows),
            failed=sum(isinstance(score, Unscored) for score in scores) + kinds.count(PERMANENT),
            rejected=kinds.count(REJECT),
            reasons=json.dumps(dict(reasons.most_common(REPORTED_REASONS))),
            passages=len(unit.prompts) if self._passages else 0,
            known=kinds.count(KNOWN),
            deleted=kinds.count(DELETED),
            **figures,
        )
        if unit.rows is not None:  # else its scores were put before
            try:
                cut = rows["truncated"].filter(pc.not_equal(rows["kind"], KNOWN))  # no prompts were made of the others
                _report(self._run, stats, reasons, pc.sum(cut).as_py() or 0)
            except Exception:  # whatever it is: the unit would be scored again
                _log_failed_report()
        return pa.Table.from_pylist([asdict(stats)])

    def _put(self, unit: PromptedUnit, scores: list[float | Unscored], texts: list[str | None]) -> str:
        """Puts the score file and returns its name."""
        assert unit.file
        check_unchanged(unit.file)
        table = make_score_table(unit, scores, texts if self._explain else None)
        name = name_score_file(unit.name, has_transient(table))
        self._scores.put_new(name, encode_scores(table))
        return name


def count_reasons(rows: pa.Table, scores: list[float | Unscored]) -> Counter[str]:
    """Kind of reason -> rows of a unit without a score. scores: of its rows of kind `ok`."""
    unscored = [score.reason for score in scores if isinstance(score, Unscored)]
    found = rows.filter(pc.not_equal(rows["kind"], DELETED))["reason"].to_pylist()
    return count_kinds(Counter([*unscored, *filter(None, found)]))


def _report(run: str, stats: UnitStats, reasons: Counter[str], truncated: int) -> None:
    """Reports a unit, with the kinds of its reasons alone, since a reason may quote a document or the model."""
    figures: dict[str, Any] = asdict(stats)
    count_unit(run, figures, reasons, truncated)
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    about = {"at": now, "run": run} | figures | {"reasons": dict(reasons.most_common(REPORTED_REASONS))}
    _log().info(json.dumps(about | {"truncated": truncated, "seconds": round(stats.seconds, 3)}))


@cache
def _log_failed_report() -> None:
    """Logs the exception that is being handled, once in each process."""
    _log().exception("rayrank: a unit was put, and is missing in metrics or log; this is logged once")


@cache
def _log() -> logging.Logger:
    """A log on stderr, which Ray keeps as a file for each worker. It does not pass lines to other loggers."""
    log = logging.getLogger("rayrank.units")
    log.addHandler(logging.StreamHandler(sys.stderr))
    log.setLevel(logging.INFO)
    log.propagate = False
    return log
