"""One bucket of the result: its score rows, fused, ranked and written as one part."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.carry import Place, carry
from pipeline.config import Fusion
from pipeline.rank import rank
from pipeline.storage import Folder

REASONS = 50  # different ones that are reported


@dataclass(frozen=True)
class FuseBucket:
    """The task of fusing one bucket.

    read: gives a bucket's score rows (pipeline.merge.score_rows). files: number -> path and size of the input files.
    columns: the carried ones, as pipeline.carry.carried gives them. tag: the fusion's hash, part of the names of what
    is written.
    """

    read: Callable[[int], pa.Table]
    output: Folder
    files: dict[int, Place]
    fusion: Fusion
    top_k: int | None
    columns: dict[str, str]
    explain: bool
    tag: str

    def __call__(self, bucket: int) -> dict:
        rows = self.read(bucket)
        ranked, rejects = rank(rows, self.fusion)
        unscored = ranked.filter(pc.is_null(ranked["rerank_score"]))
        if self.top_k:
            ranked = ranked.filter(pc.less_equal(ranked["rank"], self.top_k))
        if self.columns:
            ranked = carry(ranked, self.columns, self.files)
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
    return Counter({pair["values"]: pair["counts"] for pair in pc.value_counts(values).to_pylist()})
