"""The results and TREC runs that are mixed, read by bucket: the queries whose id has the same hash."""

import math
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.ensemble.mix import CANDIDATE
from pipeline.errors import RunError, UsageError
from pipeline.input.result import MANIFEST, SUCCESS, has_stages, read_result
from pipeline.rank.buckets import find_buckets
from pipeline.storage.folder import Folder

SCORED = ["query_id", "doc_id", "rank", "score", "first_stage_score", "reason"]
NUMBER = re.compile(r"ranked/part-(\d+)-")


@dataclass(frozen=True)
class RankedResult:
    """A committed result. parts: the names of its parts, which are its buckets, in their order. columns: those it has
    beside its own, which are kept. by_rank: its candidates count by their ranks, which know no ties. staged: so do
    those without a score, for its scores compare within a stage alone."""

    name: str
    folder: Folder
    tag: str
    rows: int
    parts: tuple[str, ...]
    columns: tuple[str, ...] = ()
    by_rank: bool = False
    staged: bool = False

    def read(self, bucket: int, buckets: int) -> pa.Table:
        """The candidates of a bucket, as `mix` takes them. buckets: how many there are."""
        step = math.gcd(len(self.parts), buckets)
        rows = pa.concat_tables(map(self._read_part, range(bucket % step, len(self.parts), step)))
        if step < buckets:  # these parts have other buckets, too
            rows = rows.filter(pa.array(find_buckets(rows["query_id"], buckets) == bucket))
        if self.by_rank or self.staged:
            counts = pc.or_(rows["score"].is_valid(), self.staged)
            score = pc.if_else(counts, pc.negate(rows["rank"].cast(pa.float64())), None)
            rows = rows.set_column(3, "score", score)
        return rows.drop_columns(["rank"])

    def _read_part(self, number: int) -> pa.Table:
        name = self.parts[number]
        try:
            data = self.folder.read(name)
        except FileNotFoundError as error:
            raise RunError(f"{error}: has gone; was its result replaced? Start the same command again") from None
        rows = pq.read_table(pa.BufferReader(data), columns=[*SCORED, *self.columns], use_threads=False)
        if (find_buckets(rows["query_id"], len(self.parts)) != number).any():
            raise UsageError(f"{self.folder.path(name)}: has queries of another part; was it moved or renamed?")
        return rows


def read_ranked_result(name: str, url: str, keep_columns: bool, by_rank: bool) -> RankedResult:
    """The committed result of a run, or of jobs/fuse.py. Raises UsageError where there is none."""
    folder = Folder(url)
    manifest = read_result(folder)
    if manifest is None:
        raise UsageError(
            f"{name}: holds no finished result (no {SUCCESS} that goes with its {MANIFEST}); a result is known by its "
            "run's output.path"
        )
    parts = sorted(manifest["parts"], key=lambda part: int(NUMBER.match(part)[1]))  # type: ignore[index]
    output = manifest["config"]["output"]
    columns = tuple(output["columns"]) if keep_columns else ()
    rows, staged = manifest["figures"]["ranked"], has_stages(manifest)
    return RankedResult(name, folder, manifest["tag"], rows, tuple(parts), columns, by_rank, staged)


def read_again(result: RankedResult) -> RankedResult:
    """A result as it stands now."""
    return read_ranked_result(result.name, result.folder.url, bool(result.columns), result.by_rank)


def count_buckets(results: list[RankedResult], most_rows: int) -> int:
    """How many buckets there are, so that each is made of whole parts of every result where that can be, and has about
    `most_rows` candidates at most."""
    common = math.gcd(*(len(result.parts) for result in results))
    rows = sum(result.rows for result in results)
    return common * max(1, -(-rows // (common * most_rows)))


def split_runs(rows: pa.Table, count: int) -> Iterator[pa.Table]:
    """The candidates of each TREC run, as `mix` takes them. rows: of all of them. count: how many runs there are."""
    for number in range(count):
        mine = rows.filter(pc.equal(rows["run"], number)).select(["query_id", "doc_id", "score"])
        empty = [pa.nulls(len(mine), field.type) for field in list(CANDIDATE)[3:]]
        yield pa.table([*mine.columns, *empty], CANDIDATE)


def count_candidates(names: list[str], scored: np.ndarray) -> dict[str, Counter[str]]:
    """How many candidates each input has a score for (`scored`), how many only others score (`missing`), and how many
    others score, too (`shared`). scored: as `mix` gives it."""
    together = scored.sum(axis=0)
    return {
        name: Counter(
            scored=int(mine.sum()),
            missing=int((~mine & (together > 0)).sum()),
            shared=int((mine & (together > 1)).sum()),
        )
        for name, mine in zip(names, scored, strict=True)
    }
