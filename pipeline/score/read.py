"""Reads a split's rows as pairs of one form, cut into its units.

Rows that cannot be used are marked and never dropped:
  kind = "reject"     the row can have no place in the result: an id, or the first-stage score, is missing or not finite
  kind = "deleted"    its table has deleted the row
  kind = "permanent"  the pair keeps its place in the result without a score: its query or document holds no text, or
                      one of its texts is not UTF-8
Scoring may make a pair `permanent`, where the model cannot score it, or `transient`, where another try may.
"""

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.errors import UsageError
from pipeline.input.columns import as_ids, as_scores, as_text, check_exact_ids, hash_ids
from pipeline.input.listing import InputFile
from pipeline.input.parquet import read_batches
from pipeline.input.shown import Shown
from pipeline.plan.splits import Split, cut_splits
from pipeline.plan.units import Unit
from pipeline.plan.work import Work
from pipeline.rows import DELETED, DELETED_REASON, OK, PERMANENT, REJECT
from pipeline.sizes import Sizes

BATCH_ROWS = 8192
TEXT_NAMES = {"query": "query", "doc": "document"}


def read_units(split: Split, columns: dict[str, str]) -> Iterator[tuple[Unit, pa.Table]]:
    """The units of a split, in order. A unit of rows that are scored once more may have others between them.

    Columns: row (number in the file), query_id, query, doc_id, doc, first_stage_score, kind, reason, and title and
    instruction where they are mapped. Raises UsageError where an id is a float that is not exact.
    """
    names = list(dict.fromkeys(columns.values()))
    place = split.path, split.size, split.ranges, split.row_groups
    batches = read_batches(*place, names, BATCH_ROWS, split.version, split.shown)
    row, held = split.first_row, list[pa.Table]()  # pairs that were read and units may still have; row: after them
    for unit, after in zip(split.units, [*split.units[1:], None], strict=True):
        while row < unit.stop:
            batch = next(batches, None)
            if batch is None:
                raise UsageError(
                    f"{split.path}: ended at row {row}, and its footer said {unit.stop} or more; it has changed"
                )
            row += len(batch)
            if row > unit.first:  # else no unit has these rows
                held.append(_pairs(split.path, batch, columns, row - len(batch), split.shown))
        if not held:
            held = [_pairs(split.path, _make_empty_batch(names), columns, row)]  # a unit of a file without rows
        table = pa.concat_tables(held)
        table = table.slice(unit.first - (row - len(table)))
        yield unit, table.slice(0, unit.size).combine_chunks()
        held = [table.slice(after.first - unit.first)] if after else []


def read_task(work: Work, task: int, sizes: Sizes) -> Iterator[tuple[Unit, InputFile, pa.Table]]:
    """The units of a task's parts of files, each with its file and its rows."""
    for part in work.read_parts(task):
        for split in cut_splits(part, work.config, work.first, sizes=sizes):
            for unit, rows in read_units(split, work.first.columns):
                yield unit, part.file, rows


def _make_empty_batch(names: list[str]) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist([], pa.schema([(name, pa.string()) for name in names]))


def _pairs(
    path: str, batch: pa.RecordBatch, columns: dict[str, str], first_row: int, shown: Shown | None = None
) -> pa.Table:
    problems = _Problems(len(batch))
    deleted = shown.find_deleted(first_row, first_row + len(batch)) if shown and shown.deleted else None
    if deleted is not None:
        problems.add(DELETED, pa.array(deleted), DELETED_REASON)
    texts: dict[str, pa.Array] = {}
    broken: dict[str, pa.Array] = {}
    for name in ("query", "doc", "title", "instruction"):
        if name in columns:
            texts[name], broken[name] = as_text(batch[columns[name]])
            problems.add(PERMANENT, broken[name], f"{TEXT_NAMES.get(name, name)} is not valid UTF-8")
            if name in TEXT_NAMES:
                problems.add(PERMANENT, pc.is_null(texts[name]), f"{TEXT_NAMES[name]} is null")
                problems.add(
                    PERMANENT, pc.equal(pc.utf8_trim_whitespace(texts[name]), ""), f"{TEXT_NAMES[name]} is empty"
                )
    ids = {}
    for name, text in (("query_id", "query"), ("doc_id", "doc")):
        if name in columns:
            column = batch[columns[name]]
            check_exact_ids(path, column, first_row, columns[name], name, deleted=deleted)
            ids[name] = as_ids(column)
            problems.add(REJECT, pc.is_null(ids[name]), f"{name} is null")
        else:
            ids[name] = hash_ids(texts[text], texts.get("instruction") if name == "query_id" else None)
            problems.add(REJECT, broken[text], f"no {name}: {TEXT_NAMES[text]} is not valid UTF-8")
            problems.add(REJECT, pc.is_null(ids[name]), f"no {name}: {TEXT_NAMES[text]} is null")
    scores = as_scores(batch[columns["score"]])
    problems.add(REJECT, pc.is_null(scores), "first-stage score is null")
    problems.add(REJECT, pc.invert(pc.is_finite(scores)), "first-stage score is not finite")
    return pa.table(
        {"row": pa.array(range(first_row, first_row + len(batch)), pa.int64())}
        | ids
        | texts
        | {"first_stage_score": scores, "kind": problems.kind, "reason": problems.reason}
    )


class _Problems:
    """The problem of each row: a reject outweighs what is permanent, a deletion both, and otherwise the first
    problem found stands."""

    def __init__(self, rows: int):
        self.kind = pa.repeat(pa.scalar(OK), rows)
        self.reason = pa.nulls(rows, pa.string())

    def add(self, kind: str, where: pa.Array, reason: str) -> None:
        where = pc.fill_null(where, False)
        outweighed = pa.array([OK] if kind == PERMANENT else [OK, PERMANENT])
        new = pc.and_(where, pc.is_in(self.kind, outweighed))
        self.kind = pc.if_else(new, kind, self.kind)
        self.reason = pc.if_else(new, reason, self.reason)
