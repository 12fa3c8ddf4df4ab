"""Where documents moved: from which ranks of the first stage to which ranks of the fusion."""

from dataclasses import dataclass

import numpy as np

RANK_GROUPS = (1, 2, 6, 11, 21, 51, 101)


@dataclass(frozen=True)
class Moves:
    """names: of the groups of ranks, '6-10'. counts: (from x to) of documents. into, out: of the first ten."""

    names: list[str]
    counts: list[list[int]]
    into: int
    out: int


def count_moves(before: np.ndarray, after: np.ndarray) -> Moves:
    """before, after: ranks, from 1, of the same documents in two rankings."""
    deepest = int(max(before.max(initial=1), after.max(initial=1)))
    starts = [start for start in RANK_GROUPS if start <= deepest]
    ends = [*(start - 1 for start in starts[1:]), deepest]
    names = [
        str(start) if start == end else f"{start}\N{EN DASH}{end}" for start, end in zip(starts, ends, strict=True)
    ]
    counts = np.zeros((len(starts), len(starts)), dtype=np.int64)
    old, new = (np.searchsorted(starts, ranks, side="right") - 1 for ranks in (before, after))
    np.add.at(counts, (old, new), 1)
    into, out = ((before > 10) & (after <= 10)).sum(), ((before <= 10) & (after > 10)).sum()
    return Moves(names, counts.tolist(), int(into), int(out))
