"""One bucket of the result: its score rows, fused and ranked, and written as one part."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.config import Fusion
from pipeline.input.listing import InputFile
from pipeline.input.shown import find_rows
from pipeline.rank.carry import carry_columns, select_in_input_order
from pipeline.rank.oddities import count_oddities
from pipeline.rank.rank import Which, rank
from pipeline.rank.staged import Finish
from pipeline.rows import (
    DELETED,
    EQUAL,
    NOT_IN_TIME,
    REJECT,
    TRANSIENT,
    BucketCounts,
    Part,
    count_kinds,
    replace_column,
)
from pipeline.storage.folder import Folder

REPORTED_REASONS = 50  # kinds of them
UNREPEATED = ("doc_id", "rank", "score", "first_stage_score", "rerank_score")  # no dictionary makes these smaller


class RankedBucket(NamedTuple):
    """ranked: rows down to top_k, or those below it (RankBucket.rest), with file and row. rejects: file (its number),
    row, reason."""

    ranked: pa.Table
    rejects: pa.Table
    counts: BucketCounts


@dataclass(frozen=True)
class RankBucket:
    """Reads the score rows of a bucket (`read` is what merge_scores gives) and ranks them.

    rest: the rows are those that top_k cuts off, not the others. deleted: number of a file -> its rows that its table
    has deleted, packed. They are left out, whatever their scores. whole_query: the reranker saw whole queries. A row
    that a table brings back has no score for a reason that stays then, for only with its query it could be scored.
    """

    read: Callable[[int], pa.Table]
    fusion: Fusion
    top_k: int | None
    duplicates: Which = "first"
    lower_is_better: bool = False
    rest: bool = False
    deleted: dict[int, bytes] = field(default_factory=dict)
    whole_query: bool = False

    def __call__(self, bucket: int) -> RankedBucket:
        stored = self.read(bucket)
        live = drop_deleted(stored, self.deleted)
        rows = restore_rows(live)
        if self.lower_is_better:
            rows = negate_first_stage(rows)
        ranked, rejects = rank(rows, self.fusion, self.duplicates)
        unscored = ranked.filter(pc.is_null(ranked["rerank_score"]))
        if self.top_k:
            within = pc.less_equal(ranked["rank"], self.top_k)
            ranked = ranked.filter(pc.invert(within) if self.rest else within)
        passing = [TRANSIENT] if self.whole_query else [TRANSIENT, DELETED]
        reasons = _count_reasons(unscored["reason"]) + _count_reasons(rejects["reason"])
        counts = BucketCounts(
            rows=len(rows),
            ranked=len(ranked),
            queries=len(pc.unique(ranked["query_id"])),
            unscored=len(unscored),
            rejected=len(rejects),
            equal=pc.sum(pc.equal(rejects["reason"], EQUAL[self.duplicates])).as_py() or 0,
            transient=pc.sum(pc.is_in(live["kind"], pa.array(passing))).as_py() or 0,
            truncated=pc.sum(rows["truncated"]).as_py() or 0,
            reasons=dict(reasons.most_common(REPORTED_REASONS)),
            odd=count_oddities(rows),
            late=pc.sum(pc.equal(unscored["reason"], NOT_IN_TIME)).as_py() or 0,
            deleted=len(stored) - len(rows),
        )
        return RankedBucket(ranked, rejects, counts)


def drop_deleted(rows: pa.Table, deleted: dict[int, bytes]) -> pa.Table:
    """Score rows without those that are deleted. deleted: number of a file -> its packed rows."""
    if not deleted:
        return rows
    file, row = rows["file"].to_numpy(), rows["row"].to_numpy()
    gone = np.zeros(len(rows), bool)
    for number in np.intersect1d(file, [*deleted]).tolist():
        gone[file == number] = find_rows(deleted[number], row[file == number])
    return rows.filter(pa.array(~gone))


def restore_rows(rows: pa.Table) -> pa.Table:
    """Score rows of which some were deleted when they were read, and are not any more: pairs without a score for a
    reason that may pass; or rejects, where they lack an id or a first-stage score."""
    back = pc.equal(rows["kind"], DELETED)
    if not pc.any(back).as_py():
        return rows
    usable = pc.and_(pc.is_valid(rows["query_id"]), pc.is_valid(rows["doc_id"]))
    usable = pc.and_(usable, pc.fill_null(pc.is_finite(rows["first_stage_score"]), False))
    kinds = pc.if_else(back, pc.if_else(usable, TRANSIENT, REJECT), rows["kind"])
    return replace_column(rows, "kind", kinds)


def negate_first_stage(rows: pa.Table) -> pa.Table:
    """Score rows whose first-stage scores are distances, with scores that are better the higher they are."""
    return replace_column(rows, "first_stage_score", pc.negate(rows["first_stage_score"]))


@dataclass(frozen=True)
class WritePart:
    """The task of writing one bucket.

    rank: gives the ranked bucket. files: of the input. columns: the carried ones, as select_carried gives them.
    read_carried: gives the carried columns of a bucket's rows (pipeline/rank/carry.py,
    pipeline/rank/gather.py). result_id: part of the names of what is written. finish: what stages make of the rows
    (pipeline/rank/staged.py). rest: writes the rows of the bucket that do not go on to the next stage.
    """

    rank: Callable[[int], RankedBucket]
    output: Folder
    files: list[InputFile]
    columns: dict[str, str]
    read_carried: Callable[[int, pa.Table], pa.Table] | None
    explain: bool
    result_id: str
    finish: Finish | None = None
    rest: "WritePart | None" = None

    def __call__(self, bucket: int) -> Part:
        ranked, rejects, counts = self.rank(bucket)
        rows = self._make_rows(bucket, ranked)
        paths = pa.array([self.files[number].path for number in rejects["file"].to_pylist()], pa.string())
        return Part(
            part=self._put("ranked", bucket, rows),
            rejects=self._put("rejects", bucket, rejects.set_column(0, "file", paths)) if len(rejects) else None,
            counts=counts._replace(ranked=len(rows)),
            rest=self.rest.write_rest(bucket) if self.rest else None,
        )

    def write_rest(self, bucket: int) -> str:
        """Writes the rows alone, as a file of those that do not go on. Returns its name."""
        return self._put("rest", bucket, self._make_rows(bucket, self.rank(bucket).ranked))

    def _make_rows(self, bucket: int, ranked: pa.Table) -> pa.Table:
        """The rows as they are written."""
        if self.read_carried:
            carried = self.read_carried(bucket, select_in_input_order(ranked))
            ranked = carry_columns(ranked, self.columns, carried)
        if self.explain:  # it comes last
            written = ranked.column_names.index("explanation")
            ranked = ranked.remove_column(written).append_column("explanation", ranked.column(written))
        ranked = ranked.drop_columns(["file", "row"])
        return self.finish(bucket, ranked) if self.finish else ranked

    def _put(self, folder: str, bucket: int, table: pa.Table) -> str:
        name = f"{folder}/part-{bucket:05d}-{self.result_id}.parquet"
        sink = pa.BufferOutputStream()
        repeated = [name for name in table.column_names if name not in UNREPEATED]
        pq.write_table(table, sink, compression="zstd", use_dictionary=repeated)
        # One that is there may be of other scores: those of a folder that was deleted, say, and filled again.
        self.output.put(name, sink.getvalue())
        return name


def _count_reasons(values: pa.ChunkedArray) -> Counter[str]:
    return count_kinds({pair["values"]: pair["counts"] for pair in pc.value_counts(values).to_pylist()})
