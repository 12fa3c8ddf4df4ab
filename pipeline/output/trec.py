"""A result -> a TREC run file whose scores decrease strictly within each query.

trec_eval orders by score alone, as a 32-bit float, and breaks ties by doc_id: equal scores, and doubles that round to
one float, would lose the order of the result.
"""

import numpy as np
import pyarrow as pa

from pipeline.errors import UsageError
from pipeline.input.result import BATCH_ROWS, has_stages, read_finished_result, read_queries
from pipeline.storage.folder import Folder
from pipeline.storage.writer import open_writer

LOWEST, HIGHEST = -np.finfo(np.float32).max, np.finfo(np.float32).max
COLUMNS = ["query_id", "doc_id", "rank", "score"]


def make_decreasing(scores: np.ndarray) -> np.ndarray:
    """The scores of one query, best first, as strictly decreasing float32.

    scores: nan for a pair without a score. A score that is not below the one before it, or is missing, becomes the next
    float32 below that; a missing first score becomes 0. Scores beyond the range of float32 become its ends.
    """
    steps = _to_steps(np.clip(scores, LOWEST, HIGHEST).astype(np.float32))
    steps[np.isnan(scores)] = _to_steps(np.array([HIGHEST], np.float32))  # below the one before it in any case
    if len(scores) and np.isnan(scores[0]):
        steps[0] = 0
    positions = np.arange(len(scores))
    steps = np.minimum.accumulate(steps + positions) - positions
    lowest = _to_steps(np.array([LOWEST], np.float32))[0]
    return _from_steps(np.maximum(steps, lowest + positions[::-1]))


def _to_steps(scores: np.ndarray) -> np.ndarray:
    """The position of each float32 among all of them, in ascending order; 0.0 and -0.0 are at 0."""
    bits = scores.view(np.int32).astype(np.int64)
    return np.where(bits < 0, -(bits & 0x7FFFFFFF), bits)


def _from_steps(steps: np.ndarray) -> np.ndarray:
    bits = np.where(steps < 0, -steps | 0x80000000, steps)
    return bits.astype(np.uint32).view(np.float32)


def write_trec(result: str, run_file: str, run_tag: str, batch_rows: int = BATCH_ROWS) -> dict[str, int]:
    """Writes the committed result of a run (its output.path) as a TREC run. Returns how many queries, rows and
    unscored rows it has. The scores of a result with stages are n - rank, n the candidates of the query.

    run_file: any fsspec URL; it appears whole or not at all. run_tag: the last field of each line.
    Raises UsageError where there is no committed result, or an id cannot stand in a TREC run.
    """
    output = Folder(result)
    manifest = read_finished_result(output)
    counts = {"queries": 0, "rows": 0, "unscored": 0}
    with open_writer(run_file) as file:
        for part in manifest["parts"]:
            for query in read_queries(output.path(part), COLUMNS, batch_rows):
                file.write(_format_lines(query, run_tag, has_stages(manifest)))
                counts["queries"] += 1
                counts["rows"] += len(query)
                counts["unscored"] += query["score"].null_count
    return counts


def check_field(column: str, name: str, what: str) -> None:
    """Raises UsageError for an id that cannot stand in a file whose fields have white space between them."""
    if len(name.split()) != 1 or name != name.strip():
        raise UsageError(f"{column} {name!r}: is empty or has white space in it, which {what} cannot hold")


def _format_lines(query: pa.Table, run_tag: str, by_rank: bool) -> bytes:
    query_id = query["query_id"][0].as_py()
    docs = query["doc_id"].to_pylist()
    for column, name in [("query_id", query_id), *(("doc_id", doc) for doc in docs)]:
        check_field(column, name, "a TREC run")
    scores = len(query) - query["rank"].to_numpy() if by_rank else query["score"].to_numpy()
    scores = make_decreasing(scores.astype(np.float64))
    lines = [
        f"{query_id} Q0 {doc} {rank} {score!s} {run_tag}\n"
        for rank, (doc, score) in enumerate(zip(docs, scores, strict=True), 1)
    ]
    return "".join(lines).encode()
