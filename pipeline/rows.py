"""Why rows have no score, by kind: what metrics, log lines and the manifest count."""

import re
from collections import Counter

OK, PERMANENT, TRANSIENT, REJECT = "ok", "permanent", "transient", "reject"


def kinds_of(reasons: dict[str, int]) -> Counter[str]:
    """Rows of each kind of reason, the commonest first."""
    kinds = Counter[str]()
    for reason, rows in reasons.items():
        kinds[kind_of(reason)] += rows
    return Counter(dict(kinds.most_common()))


def kind_of(reason: str) -> str:
    """A reason without what differs from row to row: numbers, and what stands behind a colon.

    That is where a reason has words of a document or of the model (actors.rerankers.contract.Unscored), which go into no label
    and no log.
    """
    return re.sub(r"\d[\d.,]*", "N", reason.partition(":")[0])[:80]
