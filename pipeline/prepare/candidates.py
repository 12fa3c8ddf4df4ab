"""The rows of all runs -> the candidates of each query, best first.

A run's order is trec_eval's: score down, doc_id down by bytes where scores are equal (as float64); ranks in a file
count for nothing. One run keeps its scores. Several are united, with reciprocal rank fusion as the
first-stage score: the sum over the runs of 1 / (60 + rank) (Cormack, Clarke and Buettcher, SIGIR 2009).
"""

from collections import Counter

import numpy as np
import pyarrow as pa

from pipeline.rank.rank import code_in_order, rank_in_order

RRF_K = 60


def rank_candidates(rows: pa.Table, depth: int, fused: bool) -> tuple[pa.Table, Counter[str]]:
    """query_id, doc_id, score of at most `depth` rows a query, sorted by query_id (bytes), best first; and how many
    rows went otherwise: repeated_rows (a better one of the same run names that query and document), shared_rows (an
    earlier run names them, too: they are one candidate), rows_beyond_depth.

    rows: run, query_id, doc_id, score, in any order, whole queries. fused: there is more than one run.
    """
    rows = rows.combine_chunks()
    query, doc = code_in_order(rows["query_id"].combine_chunks()), code_in_order(rows["doc_id"].combine_chunks())
    run, score = rows["run"].to_numpy().astype(np.int64), rows["score"].to_numpy()
    order = np.lexsort((-doc, -score, run, query))
    runs = 1 + run.max(initial=0)
    _, first = np.unique(((query * runs + run) * len(rows) + doc)[order], return_index=True)
    kept = order[np.sort(first)]
    counts = Counter(repeated_rows=len(rows) - len(kept))
    if fused:
        weights = 1 / (RRF_K + rank_in_order(query[kept] * runs + run[kept]))
        _, first, pair = np.unique(query[kept] * len(rows) + doc[kept], return_index=True, return_inverse=True)
        counts["shared_rows"] = len(kept) - len(first)
        kept, score = kept[first], np.bincount(pair, weights=weights)
    else:
        score = score[kept]
    order = np.lexsort((-doc[kept], -score, query[kept]))
    order = order[rank_in_order(query[kept][order]) <= depth]
    counts["rows_beyond_depth"] = len(kept) - len(order)
    ids = rows.select(["query_id", "doc_id"]).take(kept[order])
    return ids.append_column("score", pa.array(score[order], pa.float64())), counts
