"""How far the run of an output is, read from its score files, lease and result alone."""

import re
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.errors import RunError, UsageError
from pipeline.input.result import read_result
from pipeline.output.lease import read_holder, read_progress
from pipeline.plan.units import ENDING, FINGERPRINT, FINGERPRINT_0_1, Coverage
from pipeline.rows import DELETED, OK, count_kinds
from pipeline.storage.folder import Folder

OLD = re.compile(rf"scores/{FINGERPRINT_0_1}/[^/]+{re.escape(ENDING)}")
SAMPLED_FILES = 100  # score files, at most, that are read for the reasons of failures
THREADS = 32


def read_status(output: Folder) -> dict[str, Any]:
    """The state of an output, ready for JSON: as _read_state gives it, and the same of each stage but the last, as
    `stages`, by name. Raises UsageError where there is nothing of all this."""
    progress, found = read_progress(output), output.names("stages/")
    names = sorted({name.split("/")[1] for name in found})
    state = _read_state(output, progress)
    if state["result"]:  # they are in order there
        ordered = [stage["name"] for stage in state["result"].get("stages", [])]
        names.sort(key=lambda name: ordered.index(name) if name in ordered else len(ordered))
    stages = {name: _read_state(output.below(f"stages/{name}"), progress) for name in names}
    if not (state["result"] or state["scores"] or state["held_by"] or stages):
        old = sorted(name.split("/")[1] for name in output.names("scores/") if OLD.fullmatch(name))
        also = f"; scores/{old[0]} is of rayrank 0.1, which this one cannot read" if old else ""
        raise UsageError(f"{output.url}: there is no run{also}")
    return state | ({"stages": stages} if stages else {})


def _read_state(output: Folder, progress: dict[str, list[int]]) -> dict[str, Any]:
    """The state of an output, or of a stage's.

    result: the standing manifest, or None. held_by: the run that has a lease, dead or alive, or None. scores: for each
    fingerprint its units, the rows that have scores and the rows of the input (None where no run has said it), and the
    failures by reason: those of the result where it has all of the units, else those in `looked_into` of the score
    files. progress: as the lease says it.
    """
    stored: dict[str, list[str]] = {}  # fingerprint -> names of score files
    for name in output.names("scores/"):
        _, fingerprint, *unit = name.split("/")
        if len(unit) == 1 and unit[0].endswith(ENDING):
            stored.setdefault(fingerprint, []).append(unit[0])
    result, held_by = read_result(output), read_holder(output)
    usable = [name for name in stored if re.fullmatch(FINGERPRINT, name)]
    in_result = result.get("units", {}) if result else {}  # a result of rayrank 0.1 does not say it
    known: dict[str, list[Any]] = {}  # fingerprint -> rows that have scores, and rows of the input, so far as is known
    if result:
        rows = result["figures"]["rows"]
        scored = rows - result["figures"].get("late", 0)  # a result of an earlier version does not say it
        done = scored if len(in_result) == 1 else None  # else each has scores of some rows (run.accept)
        known = {fingerprint: [done, rows] for fingerprint in in_result}
    known |= progress
    scores = []
    for name in usable:
        done, rows = known.get(name, [None, None])
        is_whole = in_result == {name: len(stored[name])}
        reasons = result["reasons"] if result and is_whole else None
        scores.append(_read_scores(output.below(f"scores/{name}"), name, stored[name], done, rows, reasons))
    return {"result": result, "held_by": held_by, "scores": scores}


def _read_scores(
    folder: Folder,
    fingerprint: str,
    stored: list[str],
    done: int | None,
    rows: int | None,
    reasons: dict[str, int] | None,
) -> dict[str, Any]:
    """done, rows: those that have scores, and those of the input, so far as is known. reasons: of all failures; None
    where they are to be read from score files."""
    looked_into = stored
    if reasons is None:
        looked_into = stored[:: -(-len(stored) // SAMPLED_FILES)]
        reasons = dict(_count_reasons(folder, looked_into).most_common())
    if done is None:
        coverage = Coverage(stored)
        done = coverage.count_scored(coverage.versions())
    return {
        "fingerprint": fingerprint,
        "units": len(stored),
        "rows": rows,
        "rows_scored": done,
        "looked_into": len(looked_into),
        "reasons": reasons,
    }


def _count_reasons(folder: Folder, sampled: list[str]) -> Counter[str]:
    """The failures by kind of reason in the sampled score files. Reasons themselves may quote the model."""

    def read_reasons(name: str) -> list[str]:
        try:
            table = pq.ParquetFile(pa.BufferReader(folder.read(name))).read(["kind", "reason"], use_threads=False)
        except pa.ArrowException:
            raise RunError(f"{folder.path(name)}: is cut short, or no score file") from None
        return table.filter(pc.invert(pc.is_in(table["kind"], pa.array([OK, DELETED]))))["reason"].to_pylist()

    with ThreadPoolExecutor(THREADS) as pool:
        return count_kinds(Counter(reason for reasons in pool.map(read_reasons, sampled) for reason in reasons))
