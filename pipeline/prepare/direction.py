"""Whether the scores of a run point the way of its order: a distance, where lower is better, does not."""

from collections import Counter

import numpy as np
import pyarrow as pa

from pipeline.rank.rank import code_in_order


def count_directions(rows: pa.Table) -> Counter[str]:
    """Queries of each run, by how its scores go along its ranks. The names end with the run's number.

    `ordered`: those that show a direction; of these `contrary`: a score rises, and `reversed`: none falls.
    rows: run, query_id, score, rank of whole queries, in the order of the input. That order counts where there is no
    rank; as it may be any, a query then shows a direction only if three different scores or more stand in it.
    """
    if not len(rows):
        return Counter()
    rows = rows.combine_chunks()
    run = rows["run"].to_numpy().astype(np.int64)
    group = code_in_order(rows["query_id"].combine_chunks()) * (1 + run.max()) + run
    ranked = rows["rank"].is_valid().to_numpy(zero_copy_only=False)
    place = np.where(ranked, rows["rank"].to_numpy(), np.arange(len(rows)))
    order = np.lexsort((place, group))
    names, first, group = np.unique(group[order], return_index=True, return_inverse=True)
    beside = (np.diff(group) == 0) & (np.diff(place[order]) > 0)
    step = np.diff(rows["score"].to_numpy()[order])
    up, down = (np.bincount(group[1:][beside & change], minlength=len(names)) for change in (step > 0, step < 0))
    ordered = np.where(ranked[order][first], up + down > 0, (np.minimum(up, down) == 0) & (up + down > 1))
    counts: Counter[str] = Counter()
    for number in np.unique(run).tolist():
        mine = ordered & (run[order][first] == number)
        counts[f"ordered {number}"] = int(mine.sum())
        counts[f"contrary {number}"] = int((mine & (up > 0)).sum())
        counts[f"reversed {number}"] = int((mine & (up > 0) & (down == 0)).sum())
    return counts


def describe_direction(counts: Counter[str], number: int, path: str, lower_is_better: bool) -> str:
    """One line where the scores of a run contradict its order; empty where they do not."""
    ordered, contrary, reverse = (counts[f"{what} {number}"] for what in ("ordered", "contrary", "reversed"))
    if not contrary:
        return ""
    what = f"--run = {path!r}: in {contrary:,} of {ordered:,} queries the ranks contradict the scores"
    if 2 * reverse <= ordered:
        return f"{what}, which count"
    if lower_is_better:
        return f"{what}; is higher better? then leave out --lower-is-better"
    return f"{what}; is lower better? then give --lower-is-better"
