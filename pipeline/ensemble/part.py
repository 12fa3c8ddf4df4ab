"""One bucket of all inputs: mixed, and written as one part of the result."""

from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.ensemble.inputs import RankedResult, count_candidates, split_runs
from pipeline.ensemble.mix import mix
from pipeline.prepare.direction import count_directions
from pipeline.rank.buckets import BucketReader
from pipeline.storage.folder import Folder


@dataclass(frozen=True)
class Arguments:
    """The arguments of jobs/fuse.py. results: output.path of each. runs: TREC runs, each a file, glob or folder.
    weights: of the results, then of the runs. lower_is_better: those of the runs whose scores are distances. k: the
    constant of rrf."""

    results: list[str]
    output: str
    runs: list[str] = field(default_factory=list)
    weights: list[float] = field(default_factory=list)
    lower_is_better: list[str] = field(default_factory=list)
    method: str = "rrf"
    k: int = 60
    top_k: int | None = None
    shared_filesystem: bool = False


class Mixed(NamedTuple):
    """The files and counts of a bucket that was written. inputs: name -> counts (count_candidates). directions: of the
    runs' scores (pipeline/prepare/direction.py)."""

    part: str
    counts: Counter[str]
    inputs: dict[str, Counter[str]]
    directions: Counter[str]


@dataclass(frozen=True)
class MixBucket:
    """The task of mixing one bucket, and writing it as one part."""

    results: list[RankedResult]
    runs: BucketReader
    names: list[str]
    arguments: Arguments
    buckets: int
    output: Folder
    result_id: str

    def __call__(self, bucket: int) -> Mixed:
        arguments = self.arguments
        rankings = [result.read(bucket, self.buckets) for result in self.results]
        rows = self.runs.read(bucket)
        rankings += split_runs(rows, len(arguments.runs))
        mixed, scored = mix(
            self.names, rankings, arguments.weights or [1.0] * len(rankings), arguments.method, arguments.k
        )
        inputs = count_candidates(self.names, scored)
        unscored = mixed["score"].null_count
        if arguments.top_k:
            mixed = mixed.filter(pc.less_equal(mixed["rank"], arguments.top_k))
        at = mixed.column_names.index("first_stage_score")
        mixed = mixed.add_column(at + 1, "rerank_score", mixed["score"])
        name = f"ranked/part-{bucket:05d}-{self.result_id}.parquet"
        sink = pa.BufferOutputStream()
        pq.write_table(mixed, sink, compression="zstd")
        self.output.put(name, sink.getvalue())
        queries = len(pc.unique(mixed["query_id"]))
        counts = Counter(rows=scored.shape[1], ranked=len(mixed), queries=queries, unscored=unscored)
        return Mixed(name, counts, inputs, count_directions(rows))
