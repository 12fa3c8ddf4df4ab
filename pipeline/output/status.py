"""How far the run of an output is, read from its plan, score files, lease and result alone."""

from collections import Counter
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.output.commit import read_result
from pipeline.output.lease import read_holder
from pipeline.plan.existing import SCORES, UNIT, read_plan
from pipeline.plan.rounds import find_newest
from pipeline.rows import OK
from pipeline.storage.folder import Folder

SAMPLED_FILES = 1000  # score files, at most, that are read for the reasons of failures
FILES_IN_MEMORY = 32


def read_status(output: Folder) -> dict[str, Any]:
    """The state of an output, ready for JSON.

    result: the standing manifest, or None. held_by: the run that has a lease, dead or alive, or None. scores: for each
    fingerprint its units and rows, those that have been put, and the failures by reason in `looked_into` of them.
    """
    names = {name: match[0] for name in output.files("scores/") if (match := SCORES.match(name))}
    return {
        "result": read_result(output),
        "held_by": read_holder(output),
        "scores": [_read_scores(output.below(folder.rstrip("/"))) for folder in sorted(set(names.values()))],
    }


def _read_scores(folder: Folder) -> dict[str, Any]:
    stored = folder.files()
    plan, there = read_plan(folder, list(stored)), find_newest(stored)
    known: dict[str, Any] = {"fingerprint": folder.url.rpartition("/")[2]}
    if plan is None:
        return known | {"units": None, "units_put": sum(bool(UNIT.match(file)) for file, *_ in there.values())}
    rows = dict(zip(plan.unit_names(), plan.unit_rows().tolist(), strict=True))
    put = [unit for unit in rows if unit in there]
    sampled = put[:: -(-len(put) // SAMPLED_FILES) or 1]
    reasons: Counter[str] = Counter()
    for first in range(0, len(sampled), FILES_IN_MEMORY):
        files = [there[unit].file for unit in sampled[first : first + FILES_IN_MEMORY]]
        for data in folder.read_ranges([(name, 0, stored[name]) for name in files]):
            table = pq.read_table(pa.BufferReader(data), columns=["kind", "reason"])
            reasons.update(reason for kind, reason in zip(*table.to_pydict().values(), strict=True) if kind != OK)
    return known | {
        "units": len(rows),
        "units_put": len(put),
        "rows": plan.rows,
        "rows_put": sum(rows[unit] for unit in put),
        "looked_into": len(sampled),
        "reasons": dict(reasons.most_common()),
    }
