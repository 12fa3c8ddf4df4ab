"""How far the run of an output is: from its plan, its score files, its lease and its result alone."""

from collections import Counter
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.output.commit import committed
from pipeline.output.lease import holder
from pipeline.plan.existing import SCORES, UNIT, read_plan
from pipeline.plan.rounds import newest
from pipeline.rows import OK
from pipeline.storage.folder import Folder

LOOKED_INTO = 1000  # score files, at most, for the reasons of failures
AT_ONCE = 32  # of them in memory


def status(output: Folder) -> dict[str, Any]:
    """What is known of an output.

    result: the standing manifest, or None. held_by: who holds it and has not let go, dead or alive, or None. scores:
    for each fingerprint its units and rows, those that are put, and the failures, by reason, in `looked_into` of them.
    """
    names = {name: match[0] for name in output.files("scores/") if (match := SCORES.match(name))}
    return {
        "result": committed(output),
        "held_by": holder(output),
        "scores": [_scores(output.below(folder.rstrip("/"))) for folder in sorted(set(names.values()))],
    }


def _scores(folder: Folder) -> dict[str, Any]:
    stored = folder.files()
    plan, there = read_plan(folder, list(stored)), newest(stored)
    known: dict[str, Any] = {"fingerprint": folder.url.rpartition("/")[2]}
    if plan is None:
        return known | {"units": None, "units_put": sum(bool(UNIT.match(file)) for file, *_ in there.values())}
    rows = dict(zip(plan.unit_names(), plan.unit_rows().tolist(), strict=True))
    put = [unit for unit in rows if unit in there]
    seen = put[:: -(-len(put) // LOOKED_INTO) or 1]
    reasons: Counter[str] = Counter()
    for first in range(0, len(seen), AT_ONCE):
        files = [there[unit].file for unit in seen[first : first + AT_ONCE]]
        for data in folder.read_ranges([(name, 0, stored[name]) for name in files]):
            table = pq.read_table(pa.BufferReader(data), columns=["kind", "reason"])
            reasons.update(reason for kind, reason in zip(*table.to_pydict().values(), strict=True) if kind != OK)
    return known | {
        "units": len(rows),
        "units_put": len(put),
        "rows": plan.rows,
        "rows_put": sum(rows[unit] for unit in put),
        "looked_into": len(seen),
        "reasons": dict(reasons.most_common()),
    }
