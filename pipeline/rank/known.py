"""Scores that a stage has of candidates it scored before, found again by the hash of their texts.

A stage's input is the result of the stage before. Whenever that is made again its files are others, and most of the
candidates the same. So the scores of files that are gone are merged by bucket, as those of a result are, and looked up:
a unit whose rows all have one needs no engine, and in other units only rows without one are scored.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.check.preflight import Checked
from pipeline.cluster.contract import Cluster
from pipeline.input.listing import InputFile
from pipeline.plan.splits import cut_splits
from pipeline.plan.units import ScoreFile, hash_version, name_score_file, parse_score_file
from pipeline.plan.work import Work
from pipeline.rank.buckets import find_buckets
from pipeline.rank.merge import merge_scores
from pipeline.rows import KNOWN, OK, PERMANENT
from pipeline.score.files import encode_scores, look_up_sizes, make_score_table
from pipeline.score.prompt import PromptedUnit, add_hashes
from pipeline.score.read import read_units
from pipeline.sizes import Sizes
from pipeline.storage.folder import Folder


def list_old(stored: list[str], files: list[InputFile]) -> list[ScoreFile]:
    """The score files of files, or versions of them, that are not in the input any more, each file's together."""
    here = {hash_version(file) for file in files}
    found = [file for name in stored if (file := parse_score_file(name)) and file.unit.of not in here]
    return sorted(found, key=lambda file: (file.unit.of, file.unit.first, file.name))


@dataclass(frozen=True, eq=False)
class KnownScores:
    """Adds to pairs what is known of them. read: gives the score rows of a bucket."""

    read: Callable[[int], pa.Table]
    buckets: int

    def __call__(self, pairs: pa.Table) -> pa.Table:
        """The pairs of a unit, with their hashes. One that has a score has it as `rerank_score`, and the kind KNOWN;
        one that has none for a reason that stays has that reason. Further columns: truncated; explanation, where it is
        known."""
        pairs = add_hashes(pairs)
        parts = [
            _add_known(pairs.filter(pa.array(bucket == number)), _load_bucket(self, number))
            for bucket in [find_buckets(pairs["query_id"], self.buckets)]
            for number in np.unique(bucket).tolist() or [0]
        ]
        return pa.concat_tables(parts).sort_by("row").combine_chunks()


def prepare_known(checked: Checked, old: list[ScoreFile], buckets: int, cluster: Cluster, sizes: Sizes) -> KnownScores:
    """Merges old score files by bucket. buckets: how many there are."""
    numbers = {version: number for number, version in enumerate(dict.fromkeys(file.unit.of for file in old))}
    stored = look_up_sizes(checked.all_scores, [(numbers[file.unit.of], file) for file in old])
    explain = checked.config.output.explain
    read = merge_scores(checked.all_scores, checked.merged, stored, buckets, explain, cluster, sizes)
    return KnownScores(read, buckets)


@dataclass(frozen=True)
class TakeOver:
    """The task of putting the score files of those units of a task's work whose rows are all known. scores: their
    folder."""

    known: KnownScores
    work: Work
    scores: Folder
    sizes: Sizes

    def __call__(self, task: int) -> list[str]:
        """Their names."""
        names, work = list[str](), self.work
        for part in work.read_parts(task):
            for split in cut_splits(part, work.config, work.first, sizes=self.sizes):
                for unit, pairs in read_units(split, work.first.columns):
                    rows = self.known(add_hashes(pairs, work.config))
                    if OK in rows["kind"].to_pylist():
                        continue
                    texts: list[str | None] | None = [] if work.config.output.explain else None
                    table = make_score_table(PromptedUnit(unit.name, part.file, rows, [], []), [], texts)
                    names.append(name_score_file(unit.name, transient=False))
                    self.scores.put_new(names[-1], encode_scores(table))
        return names


@lru_cache(maxsize=1)  # neighbouring units have rows of one bucket
def _load_bucket(known: KnownScores, bucket: int) -> pa.Table:
    """What is known of a bucket's pairs, each once."""
    rows = known.read(bucket)
    rows = rows.filter(pc.is_in(rows["kind"], pa.array([OK, PERMANENT])))
    order = np.argsort(pc.not_equal(rows["kind"], OK).to_numpy(), kind="stable")  # a score before a reason
    rows = rows.take(order).combine_chunks()
    _, once = np.unique(rows["texts"].combine_chunks().dictionary_encode().indices.to_numpy(), return_index=True)
    return rows.take(np.sort(once)).combine_chunks()


def _add_known(pairs: pa.Table, known: pa.Table) -> pa.Table:
    found = pc.index_in(pairs["texts"], known["texts"].combine_chunks())
    kind = pc.take(known["kind"], found)
    own = pc.not_equal(pairs["kind"], OK)  # what is wrong with its texts is seen without a score
    new = pc.or_(own, pc.is_null(kind))
    kinds = pc.if_else(pc.equal(kind, OK), KNOWN, kind)
    pairs = _set(pairs, "kind", pc.if_else(new, pairs["kind"], kinds))
    pairs = _set(pairs, "reason", pc.if_else(new, pairs["reason"], pc.take(known["reason"], found)))
    none = pa.scalar(None, pa.float64())
    pairs = pairs.append_column("rerank_score", pc.if_else(own, none, pc.take(known["rerank_score"], found)))
    truncated = pc.fill_null(pc.if_else(new, False, pc.take(known["truncated"], found)), False)
    pairs = pairs.append_column("truncated", truncated)
    if "explanation" in known.column_names:
        pairs = pairs.append_column("explanation", pc.take(known["explanation"], found))
    return pairs


def _set(rows: pa.Table, name: str, values: pa.ChunkedArray) -> pa.Table:
    return rows.set_column(rows.column_names.index(name), name, values)
