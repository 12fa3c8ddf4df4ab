"""The task of a bucket of queries: its rows of all runs -> candidates, and the documents that they ask for."""

from collections import Counter
from dataclasses import dataclass
from functools import reduce
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.input.excluded import LeftOut, find_identical
from pipeline.prepare.candidates import rank_candidates
from pipeline.prepare.direction import count_directions
from pipeline.prepare.unknown import put_unknown
from pipeline.rank.buckets import BucketReader, encode_by_bucket, hash_crc32
from pipeline.storage.folder import Folder

CANDIDATE_SCHEMA = pa.schema([("query_id", pa.string()), ("doc_id", pa.string()), ("score", pa.float64())])
ASKED_SCHEMA = pa.schema([("doc_id", pa.string()), ("bucket", pa.int32()), ("row", pa.int64())])


class Chosen(NamedTuple):
    """rows: candidates of the bucket. starts: the number of each query's first row. wanted: hashes of the
    documents, sorted, each once. blocks, asked: name and index of the files."""

    rows: int
    starts: np.ndarray
    wanted: np.ndarray
    blocks: tuple[str, np.ndarray]
    asked: tuple[str, np.ndarray]
    counts: Counter[str]


@dataclass(frozen=True)
class Choose:
    """scratch: the folder of the files between the steps. fused: there are several runs. doc_buckets: number of parts
    of `asked`. block_rows: candidates in a block."""

    scratch: Folder
    output: Folder
    runs: BucketReader
    queries: BucketReader
    depth: int
    fused: bool
    left_out: LeftOut
    doc_buckets: int
    block_rows: int

    def __call__(self, bucket: int) -> Chosen:
        queries, repeated_queries, conflicting = keep_first(self.queries.read(bucket), "query_id")
        rows = self.runs.read(bucket)
        known = pc.is_in(rows["query_id"], queries["query_id"].combine_chunks())
        unknown = rows.filter(pc.invert(known))
        rows = rows.filter(known).combine_chunks()
        ids = [rows[name].combine_chunks() for name in ("query_id", "doc_id")]
        left_out = self.left_out.find(*ids)
        found, dropped = rank_candidates(rows.filter(pa.array(~left_out)), self.depth, self.fused)
        used = pc.count_distinct(found["query_id"]).as_py()
        counts = Counter(
            unknown_queries=put_unknown(self.output, "queries", bucket, unknown["query_id"]),
            unknown_query_rows=len(unknown),
            repeated_queries=repeated_queries,
            conflicting_queries=conflicting,
            unused_queries=len(queries) - used,
            known_queries=used,
            identical_rows=int(find_identical(*ids).sum()),
            excluded_rows=int(left_out.sum()),
        )
        counts.update(dropped)
        counts.update(count_directions(rows))
        number = np.arange(len(found))
        blocks, index = encode_by_bucket(found, number // self.block_rows, -(-len(found) // self.block_rows))
        names = [f"{kind}/{bucket:06d}.arrow" for kind in ("candidates", "asked")]
        self.scratch.put(names[0], blocks)
        numbers = pa.array(np.full(len(found), bucket), pa.int32()), pa.array(number)
        asked = pa.table([found["doc_id"], *numbers], ASKED_SCHEMA)
        doc_hashes = hash_crc32(found["doc_id"])
        data, asked_index = encode_by_bucket(asked, (doc_hashes % self.doc_buckets).astype(np.int64), self.doc_buckets)
        self.scratch.put(names[1], data)
        starts = np.flatnonzero(np.diff(number_ids(found["query_id"]), prepend=-1))
        return Chosen(len(found), starts, np.unique(doc_hashes), (names[0], index), (names[1], asked_index), counts)


def number_ids(ids: pa.ChunkedArray) -> np.ndarray:
    """A number for each id, another one for each other id."""
    return ids.combine_chunks().dictionary_encode().indices.to_numpy().astype(np.int64)


class First(NamedTuple):
    """rows: the first of each id, in their order. others: how many there are. conflicting: those of them that differ
    from the first of their id."""

    rows: pa.Table
    others: int
    conflicting: int


def keep_first(table: pa.Table, key: str) -> First:
    """Parts the rows into the first of each id and the others."""
    _, first, number = np.unique(number_ids(table[key]), return_index=True, return_inverse=True)
    kept = table.take(np.sort(first))
    others = len(table) - len(kept)
    again = np.flatnonzero(first[number] != np.arange(len(table))) if others else np.zeros(0, np.int64)
    one, other = table.take(first[number[again]]), table.take(again)
    same = [pc.fill_null(pc.equal(one[name], other[name]), False) for name in table.column_names]
    null = [pc.and_(pc.is_null(one[name]), pc.is_null(other[name])) for name in table.column_names]
    equal = reduce(pc.and_, map(pc.or_, same, null))
    return First(kept.combine_chunks(), others, others - (pc.sum(equal).as_py() or 0))
