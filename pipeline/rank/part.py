"""One bucket of the result: its score rows, fused, ranked and written as one part."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.config import Fusion
from pipeline.rank.carry import Place, carry, in_input_order
from pipeline.rank.rank import rank
from pipeline.rows import kinds_of
from pipeline.storage.folder import Folder

REASONS = 50  # kinds of them that are reported


class Ranked(NamedTuple):
    """A bucket's score rows; those that are ranked, down to top_k, with file and row; those of all ranks that have no
    score; the rejects."""

    rows: pa.Table
    ranked: pa.Table
    unscored: pa.Table
    rejects: pa.Table


@dataclass(frozen=True)
class RankBucket:
    """Reads one bucket (`read` is what pipeline.rank.merge.score_rows gives) and ranks it."""

    read: Callable[[int], pa.Table]
    fusion: Fusion
    top_k: int | None

    def __call__(self, bucket: int) -> Ranked:
        rows = self.read(bucket)
        ranked, rejects = rank(rows, self.fusion)
        unscored = ranked.filter(pc.is_null(ranked["rerank_score"]))
        if self.top_k:
            ranked = ranked.filter(pc.less_equal(ranked["rank"], self.top_k))
        return Ranked(rows, ranked, unscored, rejects)


@dataclass(frozen=True)
class FuseBucket:
    """The task of fusing one bucket.

    files: number -> path and size of the input files. columns: the carried ones, as pipeline.rank.carry.carried gives them.
    texts: gives the carried columns of a bucket's rows (pipeline.rank.carry.Fetch, pipeline.rank.gather.Gathered). tag: the
    fusion's hash, part of the names of what is written. buckets: how many there are.
    """

    rank: RankBucket
    output: Folder
    files: dict[int, Place]
    columns: dict[str, str]
    texts: Callable[[int, pa.Table], pa.Table] | None
    explain: bool
    tag: str
    buckets: int

    def __call__(self, bucket: int) -> dict:
        rows, ranked, unscored, rejects = self.rank(bucket)
        if self.texts:
            ranked = carry(ranked, self.columns, self.texts(bucket, in_input_order(ranked)))
        if self.explain:  # it comes last
            ranked = ranked.select([*(name for name in ranked.column_names if name != "explanation"), "explanation"])
        paths = pa.array([self.files[number][0] for number in rejects["file"].to_pylist()], pa.string())
        rejects = rejects.set_column(0, "file", paths)
        return {
            "rows": len(rows),
            "ranked": len(ranked),
            "queries": len(pc.unique(ranked["query_id"])),
            "unscored": len(unscored),
            "rejected": len(rejects),
            "truncated": pc.sum(rows["truncated"]).as_py() or 0,
            "reasons": dict((_counts(unscored["reason"]) + _counts(rejects["reason"])).most_common(REASONS)),
            "part": self._put("ranked", bucket, ranked.drop_columns(["file", "row"])),
            "rejects": self._put("rejects", bucket, rejects) if len(rejects) else None,
        }

    def _put(self, folder: str, bucket: int, table: pa.Table) -> str:
        name = f"{folder}/part-{bucket:05d}-{self.tag}.parquet"
        sink = pa.BufferOutputStream()
        distinct = ("doc_id", "rank", "score", "first_stage_score", "rerank_score")  # no dictionary makes these smaller
        repeated = [name for name in table.column_names if name not in distinct]
        pq.write_table(table, sink, compression="zstd", use_dictionary=repeated)
        self.output.put_new(name, sink.getvalue().to_pybytes())
        return name


def _counts(values: pa.ChunkedArray) -> Counter[str]:
    return kinds_of({pair["values"]: pair["counts"] for pair in pc.value_counts(values).to_pylist()})
