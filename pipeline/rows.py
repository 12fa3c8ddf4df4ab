"""The kinds of rows and of reasons, and the counts of a part of the result.

Metrics, log lines and the manifest have the kinds of reasons alone.
"""

import re
from collections import Counter
from collections.abc import Mapping
from typing import Any, NamedTuple

import pyarrow as pa

from pipeline.errors import TooManyFailed

OK, PERMANENT, TRANSIENT, REJECT = "ok", "permanent", "transient", "reject"
LATE = "late"  # not scored before `run.until`: in the score files of one result alone, and then unscored
DELETED = "deleted"  # from its table, when it was read; while the table has it so, it is no row of the input
DELETED_REASON = "deleted from the table when its unit was scored"
KNOWN = "known"  # until it is written: ok, by a score that an earlier run gave the same texts
NOT_IN_TIME = "not scored in time"  # the reason of rows of the kind LATE
EQUAL = {"first": "equal to an earlier row", "last": "equal to a later row"}  # the same, in every column used


def count_kinds(reasons: dict[str, int]) -> Counter[str]:
    """Rows of each kind of reason, the commonest first."""
    kinds = Counter[str]()
    for reason, rows in reasons.items():
        kinds[get_kind(reason)] += rows
    return Counter(dict(kinds.most_common()))


def get_kind(reason: str) -> str:
    """A reason without what differs from row to row: numbers, and what stands behind a colon.

    That is where a reason has words of a document or of the model (Unscored), which go into no label
    and no log.
    """
    return re.sub(r"\d[\d.,]*", "N", reason.partition(":")[0])[:80]


def count_failed(counts: Mapping[str, Any]) -> int:
    """Rows that count towards run.max_failed, among those of a bucket or the figures of a result: pairs without a score
    and rejects, but for pairs that were not scored in time, and rows that are equal to another one."""
    late = counts.get("late", 0)  # a result of an earlier version does not say it
    return counts["unscored"] + counts["rejected"] - counts["equal"] - late


def replace_column(rows: pa.Table, name: str, values: Any) -> pa.Table:
    """The rows with other values in one of their columns."""
    return rows.set_column(rows.column_names.index(name), name, values)


def check_share(rows: int, failed: int, reasons: Counter[str], allowed: float) -> None:
    """Raises TooManyFailed, with the commonest reasons, where more rows failed than run.max_failed allows."""
    no_failures = (*EQUAL.values(), NOT_IN_TIME)
    reasons = Counter({reason: count for reason, count in reasons.items() if reason not in no_failures})
    if rows and failed / rows > allowed:
        most = ", ".join(f"{count:,} x {reason}" for reason, count in reasons.most_common(5))
        most += f", and {len(reasons) - 5} more reasons" if len(reasons) > 5 else ""
        raise TooManyFailed(
            f"{failed:,} of {rows:,} rows have no reranker score, "
            f"more than run.max_failed = {allowed} allows: {most}. The scores are kept: with a higher "
            "run.max_failed the same command goes on from here"
        )


class BucketCounts(NamedTuple):
    """rows: of the bucket. ranked, queries: down to top_k. unscored: ranked rows, at all ranks, without a score.
    equal: of the rejected, those that are equal to another row. transient: rows without a score for a reason that may
    pass. truncated: rows whose prompt lost text. reasons: kind of reason -> rows without a score or a place. odd:
    queries by what is odd in them (pipeline/rank/oddities.py). late: of the unscored, those that were not scored in
    time. deleted: rows that the table has deleted, which are in none of the others."""

    rows: int
    ranked: int
    queries: int
    unscored: int
    rejected: int
    equal: int
    transient: int
    truncated: int
    reasons: dict[str, int]
    odd: dict[str, int]
    late: int = 0
    deleted: int = 0


class Part(NamedTuple):
    """The files and counts of a bucket that was written: its part, its rejects, if it has any, and the file of rows
    that do not go on to the next stage, where there is one."""

    part: str
    rejects: str | None
    counts: BucketCounts
    rest: str | None = None
