"""What becomes of rows, and why: the kinds of rows and of reasons, and what is counted of a part of the result.

Metrics, log lines and the manifest have the kinds of reasons alone.
"""

import re
from collections import Counter
from typing import NamedTuple

OK, PERMANENT, TRANSIENT, REJECT = "ok", "permanent", "transient", "reject"


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


class BucketCounts(NamedTuple):
    """rows: of the bucket. ranked, queries: down to top_k. unscored: ranked rows, at all ranks, without a score.
    equal: of the rejected, those that are equal to another row. transient: rows without a score for a reason that may
    pass. truncated: rows whose prompt lost text. reasons: kind of reason -> rows without a score or a place. odd:
    queries by what is odd in them (pipeline/rank/oddities.py)."""

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


class Part(NamedTuple):
    """What was written of a bucket: the names of its part and its rejects, if it has any; and of the file of rows that
    do not go on to the next stage, where there is one."""

    part: str
    rejects: str | None
    counts: BucketCounts
    rest: str | None = None
