"""The task of a bucket of queries: its rows of all runs -> candidates, and what they ask of the corpus."""

from collections import Counter
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.prepare.candidates import candidates
from pipeline.prepare.unknown import put_unknown
from pipeline.rank.buckets import Bucketed, bucketed, hashes
from pipeline.storage.folder import Folder

BLOCK_ROWS = 16_384  # of candidates that are read together
CANDIDATES = pa.schema([("query_id", pa.string()), ("doc_id", pa.string()), ("score", pa.float64())])
ASKED = pa.schema([("doc_id", pa.string()), ("bucket", pa.int32()), ("row", pa.int64())])


class Chosen(NamedTuple):
    """rows: candidates of the bucket. starts: of each query the number of its first row. wanted: hashes of the
    documents, sorted, each once. blocks, asked: name and index of the files."""

    rows: int
    starts: np.ndarray
    wanted: np.ndarray
    blocks: tuple[str, np.ndarray]
    asked: tuple[str, np.ndarray]
    counts: Counter[str]


@dataclass(frozen=True)
class Choose:
    """fused: there are several runs. doc_buckets: into which `asked` is cut."""

    work: Folder
    output: Folder
    runs: Bucketed
    queries: Bucketed
    depth: int
    fused: bool
    doc_buckets: int

    def __call__(self, bucket: int) -> Chosen:
        queries, repeated_queries = first_of(self.queries.read(bucket), "query_id")
        rows = self.runs.read(bucket)
        known = pc.is_in(rows["query_id"], queries["query_id"].combine_chunks())
        unknown = rows.filter(pc.invert(known))
        found, dropped = candidates(rows.filter(known), self.depth, self.fused)
        used = pc.count_distinct(found["query_id"]).as_py()
        counts = Counter(
            unknown_queries=put_unknown(self.output, "queries", bucket, unknown["query_id"]),
            unknown_query_rows=len(unknown),
            repeated_queries=repeated_queries,
            unused_queries=len(queries) - used,
            known_queries=used,
        )
        counts.update(dropped)
        number = np.arange(len(found))
        blocks, index = bucketed(found, number // BLOCK_ROWS, -(-len(found) // BLOCK_ROWS))
        names = [f"{kind}/{bucket:06d}.arrow" for kind in ("candidates", "asked")]
        self.work.put(names[0], blocks)
        numbers = pa.array(np.full(len(found), bucket), pa.int32()), pa.array(number)
        asked = pa.table([found["doc_id"], *numbers], ASKED)
        doc_hashes = hashes(found["doc_id"])
        data, asked_index = bucketed(asked, (doc_hashes % self.doc_buckets).astype(np.int64), self.doc_buckets)
        self.work.put(names[1], data)
        starts = np.flatnonzero(np.diff(numbered(found["query_id"]), prepend=-1))
        return Chosen(len(found), starts, np.unique(doc_hashes), (names[0], index), (names[1], asked_index), counts)


def numbered(ids: pa.ChunkedArray) -> np.ndarray:
    """A number for each id, another one for each other id."""
    return ids.combine_chunks().dictionary_encode().indices.to_numpy().astype(np.int64)


def first_of(table: pa.Table, key: str) -> tuple[pa.Table, int]:
    """The first row of each id, in their order, and how many others there are."""
    _, first = np.unique(numbered(table[key]), return_index=True)
    return table.take(np.sort(first)).combine_chunks(), len(table) - len(first)
