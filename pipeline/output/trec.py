"""A result -> a TREC run file whose scores fall strictly within each query.

trec_eval orders by score alone, which it keeps as a 32-bit float, and breaks ties by doc_id: equal scores, or doubles
that are one float, would come in another order than the result has.
"""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.errors import UsageError
from pipeline.output.commit import committed
from pipeline.storage.folder import Folder, writing
from pipeline.storage.urls import open_url

LOWEST, HIGHEST = -np.finfo(np.float32).max, np.finfo(np.float32).max
BATCH_ROWS = 65_536
COLUMNS = ["query_id", "doc_id", "rank", "score"]


def falling(scores: np.ndarray) -> np.ndarray:
    """The scores of one query, best first, as float32 that fall strictly; nan for a pair without a score.

    A score that is not below the one before it becomes the next float32 below that; so does one that is missing, and
    the first of all where it is missing is 0. Scores beyond what float32 holds stand at its ends.
    """
    steps = _steps(np.clip(scores, LOWEST, HIGHEST).astype(np.float32))
    steps[np.isnan(scores)] = _steps(np.array([HIGHEST], np.float32))  # below the one before it, whatever that is
    if len(scores) and np.isnan(scores[0]):
        steps[0] = 0
    places = np.arange(len(scores))
    steps = np.minimum.accumulate(steps + places) - places
    lowest = _steps(np.array([LOWEST], np.float32))[0]
    return _float32(np.maximum(steps, lowest + places[::-1]))


def _steps(scores: np.ndarray) -> np.ndarray:
    """The number of each float32 among all of them, in their order; 0 is that of 0.0 and of -0.0."""
    bits = scores.view(np.int32).astype(np.int64)
    return np.where(bits < 0, -(bits & 0x7FFFFFFF), bits)


def _float32(steps: np.ndarray) -> np.ndarray:
    bits = np.where(steps < 0, -steps | 0x80000000, steps)
    return bits.astype(np.uint32).view(np.float32)


def write_trec(result: str, run_file: str, tag: str) -> dict[str, int]:
    """Writes the committed result of a run (its output.path) as a TREC run. Returns how many queries, rows and
    unscored rows it has.

    run_file: any fsspec URL; it appears whole or not at all. Raises UsageError where there is no committed result, or
    an id cannot stand in a TREC run.
    """
    output = Folder(result)
    manifest = committed(output)
    if manifest is None:
        raise UsageError(f"{result}: holds no finished result (no _SUCCESS that goes with its manifest.json)")
    counts = {"queries": 0, "rows": 0, "unscored": 0}
    with writing(run_file) as file:
        for part in manifest["parts"]:
            for query in _queries(output.path(part)):
                file.write(_lines(query, tag))
                counts["queries"] += 1
                counts["rows"] += len(query)
                counts["unscored"] += query["score"].null_count
    return counts


def _queries(part: str) -> Iterator[pa.Table]:
    """The rows of each query of a part, which are adjacent and in the order of their ranks."""
    fs, path = open_url(part)
    held = None
    with fs.open(path, "rb") as file:
        for batch in pq.ParquetFile(file).iter_batches(BATCH_ROWS, columns=COLUMNS):
            table = pa.Table.from_batches([batch])
            held = table if held is None else pa.concat_tables([held, table])
            starts = np.flatnonzero(held["rank"].to_numpy() == 1)
            for start, stop in pairwise(starts.tolist()):
                yield held.slice(start, stop - start)
            held = held.slice(int(starts[-1]))
    if held is not None and len(held):
        yield held


def _lines(query: pa.Table, tag: str) -> bytes:
    ids = query["query_id"][0].as_py()
    docs = query["doc_id"].to_pylist()
    for what, name in [("query_id", ids), *(("doc_id", doc) for doc in docs)]:
        if len(name.split()) != 1 or name != name.strip():
            raise UsageError(f"{what} {name!r}: is empty or has white space in it, which a TREC run cannot hold")
    scores = falling(query["score"].to_numpy().astype(np.float64))
    lines = [
        f"{ids} Q0 {doc} {rank} {score!s} {tag}\n"
        for rank, (doc, score) in enumerate(zip(docs, scores, strict=True), 1)
    ]
    return "".join(lines).encode()
