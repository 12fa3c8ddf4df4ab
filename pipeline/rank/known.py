"""Scores that pairs have already, found by the hash of their texts: `run.reuse`, and candidates of a later stage.

Score files of other inputs are read once, and what they know is sorted by hash, in pieces by the first bits of it. A
piece stays in the memory of the cluster's nodes, each of which holds it once, whatever number of its processes look
there. A unit whose pairs are all known needs no engine; in other units only the pairs without a score are scored.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.cluster.contract import Cluster, Started
from pipeline.errors import RunError, say
from pipeline.plan.reuse import Earlier
from pipeline.rank.buckets import BucketReader, encode_by_bucket, put_bucketed
from pipeline.rank.merge import Group, cut_groups
from pipeline.rows import KNOWN, OK, PERMANENT, replace_column
from pipeline.score.files import EXPLANATION, look_up_sizes, read_each
from pipeline.score.prompt import add_hashes
from pipeline.sizes import Sizes
from pipeline.storage.folder import Folder

PIECES_VERSION = 1  # raised when the same score files make another file of pieces
TAKEN = ["texts", "rerank_score", "kind", "reason", "truncated"]  # columns of a score file
SCHEMA = pa.schema(
    [
        ("high", pa.uint64()),  # the two halves of the hash of a pair's texts
        ("low", pa.uint64()),
        ("rerank_score", pa.float64()),
        ("truncated", pa.bool_()),
        ("reason", pa.string()),  # why it has no score
    ]
)


@dataclass(frozen=True, eq=False)
class KnownScores:
    """Adds to pairs what is known of them. pieces: what is known, by the first bits of the hash; each sorted by it.
    whole: a model scores the candidates of a query together, so all of them are known, or none."""

    pieces: Sequence[Started[pa.Table]]
    whole: bool = False

    def __call__(self, pairs: pa.Table) -> pa.Table:
        """The pairs of a unit, with their hashes. One that has a score has it as `rerank_score`, and the kind KNOWN;
        one that has none for a reason that stays has that reason. Further columns: truncated; explanation, where it is
        known."""
        pairs = add_hashes(pairs)
        high, low = split_hashes(pairs["texts"])
        order, parts = np.argsort(high), list[pa.Table]()  # what is looked for in order is found in half the time
        piece = find_pieces(high[order], len(self.pieces))
        for number in np.unique(piece).tolist() or [0]:
            table, inside = self.pieces[number].wait(), order[piece == number]
            found = find_hashes(table, high[inside], low[inside])
            parts.append(table.select(SCHEMA.names[2:] + table.column_names[5:]).take(pa.array(found, mask=found < 0)))
        known = pa.concat_tables(parts).take(pa.array(np.argsort(order))).combine_chunks()
        return _add(pairs, _drop_partly_known(pairs, known) if self.whole else known)


def prepare_known(
    earlier: list[Earlier], merged: Folder, explain: bool, cluster: Cluster, sizes: Sizes, whole: bool = False
) -> KnownScores:
    """Reads what there is. Where texts are equal, the score that comes first in `earlier` counts.

    merged: the folder of what is made of scores on the way. explain: whether it is known what the model wrote. whole:
    see KnownScores. An output one of whose score files cannot be read is named, and not used.
    """
    pieces = 1
    while pieces * sizes.known_rows < sum(one.rows for one in earlier):
        pieces *= 2
    readers = []
    for one in earlier:
        spread = SpreadGroup(one.scores, merged, pieces, explain, one.reasons)
        try:
            groups = [spread.name(group) for group in _cut_groups(one, pieces, sizes)]
            index = dict(zip((group.name for group in groups), cluster.run(spread, groups), strict=True))
        except RunError as error:
            say(f"{one.output}: none of its scores are taken over: {error}")
            continue
        readers.append(BucketReader(merged, index, _get_schema(explain)).read)
    kept = cluster.keep(SortPiece(readers, _get_schema(explain)), range(pieces))
    return KnownScores(kept, whole)


def _cut_groups(earlier: Earlier, pieces: int, sizes: Sizes) -> list[Group]:
    numbers = {version: number for number, version in enumerate(dict.fromkeys(file.unit.of for file in earlier.files))}
    stored = look_up_sizes(earlier.scores, [(numbers[file.unit.of], file) for file in earlier.files])
    return cut_groups(stored, pieces, sizes)


@dataclass(frozen=True)
class SpreadGroup:
    """The task of putting what the score files of a group know as one file, by piece, unless it is there already.

    scores, merged: the folders of score files and of these. explain, reasons: whether it is known what the model wrote,
    and why pairs have no score."""

    scores: Folder
    merged: Folder
    pieces: int
    explain: bool
    reasons: bool

    def name(self, group: Group) -> Group:
        """The group under the name of its file."""
        names = [found.file.name for found in group.stored]
        made_from = json.dumps([PIECES_VERSION, self.pieces, self.explain, self.reasons, self.scores.url, names])
        return Group(f"known-{hashlib.sha256(made_from.encode()).hexdigest()[:16]}.arrow", group.stored)

    def __call__(self, group: Group) -> np.ndarray:
        """The file's index."""
        return put_bucketed(self.merged, group.name, self.pieces, lambda: self._spread(group))

    def _spread(self, group: Group) -> tuple[pa.Buffer, np.ndarray]:
        columns = [*TAKEN, *([EXPLANATION.name] if self.explain else [])]
        kinds = pa.array([OK, PERMANENT] if self.reasons else [OK])
        parts = [_get_schema(self.explain).empty_table()]
        for _, rows in read_each(self.scores, group.stored, columns):
            rows = rows.filter(pc.is_in(rows["kind"], kinds))
            halves = dict(zip(("high", "low"), split_hashes(rows["texts"]), strict=True))
            others = {name: rows[name] for name in parts[0].column_names[2:]}
            parts.append(pa.table(halves | others, parts[0].schema))
        known = pa.concat_tables(parts)
        return encode_by_bucket(known, find_pieces(known["high"].to_numpy(), self.pieces), self.pieces)


@dataclass(frozen=True)
class SortPiece:
    """The task of reading one piece, from all outputs: each hash once, in the order of hashes."""

    readers: Sequence[Callable[[int], pa.Table]]
    schema: pa.Schema

    def __call__(self, piece: int) -> pa.Table:
        rows = pa.concat_tables([self.schema.empty_table(), *(read(piece) for read in self.readers)])
        high, low = rows["high"].to_numpy(), rows["low"].to_numpy()
        order = np.argsort(high, kind="stable")
        if (np.diff(high[order]) == 0).any():  # takes three times as long; a score before a reason
            order = np.lexsort((rows["rerank_score"].is_null().to_numpy(), low, high))
        again = (np.diff(high[order]) == 0) & (np.diff(low[order]) == 0)
        return rows.take(order[np.concatenate([[True], ~again])] if len(rows) else order).combine_chunks()


def split_hashes(texts: pa.ChunkedArray) -> tuple[np.ndarray, np.ndarray]:
    """The halves of 128-bit hashes, as numbers (uint64) that sort as the hashes do."""
    whole = texts.combine_chunks()
    if not len(whole):
        return np.zeros(0, np.uint64), np.zeros(0, np.uint64)
    start = 2 * whole.offset
    halves = np.frombuffer(whole.buffers()[1], ">u8")[start : start + 2 * len(whole)].astype(np.uint64)
    return halves[0::2], halves[1::2]


def find_pieces(high: np.ndarray, pieces: int) -> np.ndarray:
    """The number of the piece that each hash belongs to: its first bits. pieces: a power of two."""
    bits = pieces.bit_length() - 1
    return (high >> np.uint64(64 - bits) if bits else np.zeros_like(high)).astype(np.int64)


def find_hashes(table: pa.Table, high: np.ndarray, low: np.ndarray) -> np.ndarray:
    """The rows of a piece that have these hashes; -1 where none has. All 128 bits count."""
    known_high, known_low = table["high"].to_numpy(), table["low"].to_numpy()
    at, found = np.searchsorted(known_high, high), np.full(len(high), -1)
    left = np.arange(len(high))
    while len(left):  # a second time only where the first halves of two hashes are equal
        left = left[at[left] < len(known_high)]
        left = left[known_high[at[left]] == high[left]]
        same = known_low[at[left]] == low[left]
        found[left[same]] = at[left[same]]
        left = left[~same]
        at[left] += 1
    return found


def _get_schema(explain: bool) -> pa.Schema:
    return SCHEMA.append(EXPLANATION) if explain else SCHEMA


def _drop_partly_known(pairs: pa.Table, known: pa.Table) -> pa.Table:
    """The known scores, without those of queries some of whose candidates are not known."""
    unknown = pc.and_(pc.is_null(known["rerank_score"]), pc.is_null(known["reason"]))
    asked = pairs["query_id"].filter(pc.and_(pc.equal(pairs["kind"], OK), unknown))
    again = pc.is_in(pairs["query_id"], value_set=asked.combine_chunks())
    columns = {name: pc.if_else(again, pa.scalar(None, known[name].type), known[name]) for name in known.column_names}
    return pa.table(columns, known.schema)


def _add(pairs: pa.Table, known: pa.Table) -> pa.Table:
    """The pairs with what is known of each (a row for each, of nulls where nothing is)."""
    own = pc.not_equal(pairs["kind"], OK)  # what is wrong with its texts is seen without a score
    scored, failed = pc.is_valid(known["rerank_score"]), pc.is_valid(known["reason"])
    kinds = pc.if_else(scored, KNOWN, pc.if_else(failed, PERMANENT, OK))
    pairs = replace_column(pairs, "kind", pc.if_else(own, pairs["kind"], kinds))
    pairs = replace_column(pairs, "reason", pc.if_else(own, pairs["reason"], known["reason"]))
    none = pa.scalar(None, pa.float64())
    pairs = pairs.append_column("rerank_score", pc.if_else(own, none, known["rerank_score"]))
    truncated = pc.fill_null(pc.if_else(own, False, known["truncated"]), False)
    pairs = pairs.append_column("truncated", truncated)
    if EXPLANATION.name in known.column_names:
        pairs = pairs.append_column(EXPLANATION.name, known[EXPLANATION.name])
    return pairs
