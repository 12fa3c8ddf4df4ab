"""One bucket of the result: its rows of every score file, fused, ranked and written as one part."""

import json
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import ray

from pipeline.carry import Place, carry
from pipeline.config import Fusion
from pipeline.errors import RunError
from pipeline.parquet import read_row_group
from pipeline.rank import rank
from pipeline.scores import EXPLAINED, SCHEMA
from pipeline.storage import Folder

READ_THREADS = 16
REASONS = 50  # different ones that are reported


@dataclass(frozen=True)
class FuseBucket:
    """The task of fusing one bucket.

    plan: its id. units: name -> size of the score files. files: number -> path and size of the input files.
    columns: the carried ones, as pipeline.carry.carried gives them. tag: the fusion's hash, part of the names of what
    is written.
    """

    scores: Folder
    plan: str
    units: dict[str, int]
    output: Folder
    files: dict[int, Place]
    fusion: Fusion
    top_k: int | None
    columns: dict[str, str]
    explain: bool
    tag: str

    def __call__(self, bucket: int) -> dict:
        with ThreadPoolExecutor(READ_THREADS) as pool:
            read = pool.map(lambda name: self._rows(name, bucket), self.units)
            rows = pa.concat_tables([(EXPLAINED if self.explain else SCHEMA).empty_table(), *read])
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
            "truncated": rows["truncated"].to_pylist().count(True),
            "reasons": dict(
                Counter(unscored["reason"].to_pylist() + rejects["reason"].to_pylist()).most_common(REASONS)
            ),
            "part": self._put("ranked", bucket, ranked.drop_columns(["file", "row"])),
            "rejects": self._put("rejects", bucket, rejects) if len(rejects) else None,
        }

    def _rows(self, name: str, bucket: int) -> pa.Table:
        rows = read_row_group(self.scores.path(name), self.units[name], bucket)
        if (rows.schema.metadata or {}).get(b"plan") != self.plan.encode():
            raise RunError(
                f"{self.scores.path(name)}: was written for another plan than the one beside it; "
                "run.on_existing=restart scores anew"
            )
        return rows.replace_schema_metadata(None)

    def _put(self, folder: str, bucket: int, table: pa.Table) -> str:
        name = f"{folder}/part-{bucket:05d}-{self.tag}.parquet"
        sink = pa.BufferOutputStream()
        pq.write_table(table, sink, compression="zstd")
        self.output.put_new(name, sink.getvalue().to_pybytes())
        return name


def fuse_buckets(task: FuseBucket, buckets: int) -> Iterator[dict]:
    """Runs the task for every bucket on the cluster, and yields what each came to."""
    shared = ray.put(task)

    def fuse(batch: pa.Table) -> pa.Table:
        return pa.table({"line": [json.dumps(ray.get(shared)(number)) for number in batch["id"].to_pylist()]})

    dataset = ray.data.range(buckets, override_num_blocks=buckets).map_batches(
        fuse, batch_size=1, batch_format="pyarrow"
    )
    for row in dataset.iter_rows():
        yield json.loads(row["line"])
