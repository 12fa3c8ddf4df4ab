"""Shards of even size with whole queries in each, and the task that writes one."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.prepare.choose import keep_first
from pipeline.rank.buckets import BucketReader
from pipeline.storage.folder import Folder

ROW_GROUP = 10_000
DICTIONARY_COLUMNS = ["query_id", "query"]  # columns that a dictionary makes smaller


def find_even_bounds(starts: np.ndarray, rows: int, shard_rows: int) -> np.ndarray:
    """The first row of each shard, and the end of the last one.

    starts: the first row of each query, sorted. There are as many shards as come nearest to `shard_rows` rows each,
    and each ends with the query whose end is nearest to its even share; fewer where queries are larger than that.
    """
    shards = max(1, round(rows / shard_rows))
    even = np.arange(1, shards) * rows / shards
    ends = np.append(starts, rows)
    after = np.searchsorted(ends, even)
    before = np.maximum(after - 1, 0)
    nearest = np.where(even - ends[before] < ends[after] - even, ends[before], ends[after])
    return np.unique(np.concatenate([[0], nearest, [rows]])).astype(np.int64)


class Written(NamedTuple):
    """name: of the shard; None where no document of its queries is known, so that there is none."""

    name: str | None
    rows: int
    queries: int


@dataclass(frozen=True)
class WriteShard:
    """bounds, offsets: numbers of candidates among all, at which shards and buckets of queries begin, and the end.
    blocks: the candidates, block_rows in each; those of bucket i begin with number first_block[i]. texts: by shard."""

    output: Folder
    bounds: np.ndarray
    offsets: np.ndarray
    blocks: BucketReader
    first_block: np.ndarray
    block_rows: int
    queries: BucketReader
    texts: BucketReader
    titles: bool

    def __call__(self, shard: int) -> Written:
        low, high = self.bounds[shard : shard + 2].tolist()
        texts = self.texts.read(shard)
        order = np.argsort(texts["row"].to_numpy())
        if not len(order):
            return Written(None, 0, 0)
        texts = texts.take(order)
        rows = pa.concat_tables(self._candidates(low, high)).take(texts["row"].to_numpy() - low)
        columns = {name: rows[name] for name in ("query_id", "query", "doc_id")} | {"doc": texts["doc"]}
        columns |= {"title": texts["title"]} if self.titles else {}
        sink = pa.BufferOutputStream()
        table = pa.table(columns | {"score": rows["score"]})
        pq.write_table(table, sink, row_group_size=ROW_GROUP, compression="zstd", use_dictionary=DICTIONARY_COLUMNS)
        name = f"part-{shard:05d}.parquet"
        self.output.put(name, sink.getvalue())
        return Written(name, len(table), pc.count_distinct(table["query_id"]).as_py())

    def _candidates(self, low: int, high: int) -> Iterator[pa.Table]:
        """query_id, doc_id, score and query of the candidates from `low` to `high`."""
        first, last = (int(np.searchsorted(self.offsets, row, side="right")) - 1 for row in (low, high - 1))
        for bucket in range(first, last + 1):
            offset, end = self.offsets[bucket : bucket + 2].tolist()
            start, stop = max(low, offset) - offset, min(high, end) - offset
            if start >= stop:
                continue
            numbers = range(start // self.block_rows, (stop - 1) // self.block_rows + 1)
            rows = self.blocks.read(*(int(self.first_block[bucket]) + number for number in numbers))
            rows = rows.slice(start - numbers[0] * self.block_rows, stop - start)
            queries = keep_first(self.queries.read(bucket), "query_id").rows
            query_row = pc.index_in(rows["query_id"], queries["query_id"].combine_chunks())
            yield rows.append_column("query", queries["query"].take(query_row))
