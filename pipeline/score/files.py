"""Score files: the scores of one unit, put once, never changed, and read back whole.

A file holds the unit's rows in the unit's order. It holds no texts of the input. Where the config asks for it
(`explain`), it holds what the model wrote.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from actors.rerankers.contract import Unscored
from pipeline.errors import RunError, make_gone_error, one_line
from pipeline.input.shown import Shown, find_rows
from pipeline.plan.units import ScoreFile, parse_score_file
from pipeline.rows import DELETED, KNOWN, LATE, OK, PERMANENT, REJECT, TRANSIENT
from pipeline.score.prompt import PromptedUnit
from pipeline.storage.folder import Folder

DICTIONARY_COLUMNS = ["query_text", "query_id", "kind", "reason"]  # those that a dictionary makes smaller
SCHEMA = pa.schema(
    [
        ("row", pa.int64()),  # its number in the input file
        ("texts", pa.binary(16)),  # the hash of its texts (pipeline/input/pairs.py)
        ("query_text", pa.uint64()),  # that of its query's text; null where it has none
        ("query_id", pa.string()),
        ("doc_id", pa.string()),
        ("first_stage_score", pa.float64()),
        ("rerank_score", pa.float64()),
        ("kind", pa.string()),
        ("reason", pa.string()),
        ("truncated", pa.bool_()),
    ]
)
EXPLANATION = pa.field("explanation", pa.large_string())
MAY_PASS = [TRANSIENT, DELETED]  # a table may bring back what it has deleted
# Where several files have a row, the one whose kind comes first holds.
BETTER_FIRST = [OK, REJECT, PERMANENT, TRANSIENT, DELETED, LATE]


def make_score_table(
    unit: PromptedUnit, scores: list[float | Unscored], texts: list[str | None] | None = None
) -> pa.Table:
    """The rows of a unit's score file.

    scores: of the rows of kind `ok`, in their order; those of kind `known` have theirs. texts: what the model wrote for
    each of them; None if it is not kept.
    """
    assert unit.rows is not None
    columns = {name: unit.rows[name].combine_chunks() for name in unit.rows.column_names}
    ready = pc.equal(columns["kind"], OK)
    if len(scores) != ready.true_count:
        raise ValueError(f"{len(scores)} scores for {ready.true_count} rows")
    columns["kind"] = pc.if_else(pc.equal(columns["kind"], KNOWN), OK, columns["kind"])
    outcomes = _list_outcomes(scores, texts)
    schema = SCHEMA.append(EXPLANATION) if EXPLANATION.name in outcomes else SCHEMA
    for name, found in outcomes.items():
        kind = schema.field(name).type
        before = columns[name].cast(kind) if name in columns else pa.nulls(len(ready), kind)
        columns[name] = pc.replace_with_mask(before, ready, pa.array(found, kind))
    return pa.table([columns[name] for name in schema.names], schema)


def _list_outcomes(scores: list[float | Unscored], texts: list[str | None] | None) -> dict[str, list[Any]]:
    """The outcome of rows that an engine was to score, by column."""
    failed = [score if isinstance(score, Unscored) else None for score in scores]
    outcomes: dict[str, list[Any]] = {
        "rerank_score": [None if isinstance(score, Unscored) else score for score in scores],
        "kind": [(TRANSIENT if why.transient else PERMANENT) if why else OK for why in failed],
        "reason": [why.reason if why else None for why in failed],
    }
    return outcomes if texts is None else outcomes | {EXPLANATION.name: texts}


def make_unscored_table(unit: PromptedUnit, explain: bool) -> pa.Table:
    """The same of a unit none of whose rows an engine has scored. explain: whether what a model wrote is kept."""
    return make_score_table(unit, [], [] if explain else None)


def encode_scores(table: pa.Table) -> pa.Buffer:
    """A score file of these rows, as bytes."""
    sink = pa.BufferOutputStream()
    pq.write_table(
        table,
        sink,
        row_group_size=max(1, len(table)),
        compression="zstd",
        use_dictionary=DICTIONARY_COLUMNS,
        write_statistics=False,
    )
    return sink.getvalue()


class StoredScores(NamedTuple):
    """A score file to read. number: of its input file. size: its bytes."""

    file: ScoreFile
    number: int
    size: int


def look_up_sizes(folder: Folder, used: list[tuple[int, ScoreFile]]) -> list[StoredScores]:
    """The score files, each with the number of its input file, as they are to be read. Raises RunError where one has
    gone. folder: of all scores."""
    try:
        sizes = folder.sizes([found.name for _, found in used], folder.files())
    except FileNotFoundError as error:
        raise make_gone_error(error) from None
    return [StoredScores(found, number, sizes[found.name]) for number, found in used]


def get_schema(explain: bool) -> pa.Schema:
    """The columns of rows that `read_scores` gives: `file` (the number of their input file), and a score file's."""
    schema = pa.schema([("file", pa.int32()), *SCHEMA])
    return schema.append(EXPLANATION) if explain else schema


def read_scores(folder: Folder, stored: list[StoredScores], explain: bool) -> pa.Table:
    """The rows of whole score files, in the order of `stored`; each row of the input once.

    explain: whether the rows have the model's texts. Raises RunError where a file is gone or cannot be decoded.
    """
    schema = get_schema(explain)
    parts = [schema.empty_table()]
    for found, rows in read_each(folder, stored, schema.names[1:]):
        number = pa.repeat(pa.scalar(found.number, pa.int32()), len(rows))
        parts.append(rows.add_column(0, schema.field("file"), number))
    rows = pa.concat_tables(parts)
    return rows if len(join_overlapping(stored)) == len(stored) else keep_best(rows)


def read_each(
    folder: Folder, stored: list[StoredScores], columns: list[str]
) -> Iterator[tuple[StoredScores, pa.Table]]:
    """These columns of each score file. Raises RunError where one is gone or cannot be decoded."""
    try:
        data = folder.read_ranges([(found.file.name, 0, found.size) for found in stored])
    except FileNotFoundError as error:
        raise make_gone_error(error) from None
    for found, read in zip(stored, data, strict=True):
        try:
            yield found, pq.ParquetFile(pa.BufferReader(read), pre_buffer=False).read(columns, use_threads=False)
        except pa.ArrowException as error:
            raise RunError(
                f"{folder.path(found.file.name)}: is cut short, or no score file ({one_line(error)[:200]}); without it "
                "the same command scores its rows again"
            ) from None


def join_overlapping(stored: list[StoredScores]) -> list[list[StoredScores]]:
    """Score files, in the order of their rows, with those that have rows of each other together."""
    groups: list[list[StoredScores]] = []
    stop = 0  # of the rows of the last group
    for found in stored:
        unit = found.file.unit
        if groups and groups[-1][0].file.unit.of == unit.of and unit.first < stop:
            groups[-1].append(found)
            stop = max(stop, unit.stop)
        else:
            groups.append([found])
            stop = unit.stop
    return groups


def keep_best(rows: pa.Table) -> pa.Table:
    """The rows without those that another score file has, too: a score before a reason, one that stays before one that
    may pass, then the row that comes first."""
    better = np.array([BETTER_FIRST.index(kind) for kind in rows["kind"].to_pylist()])
    file, row = rows["file"].to_numpy(), rows["row"].to_numpy()
    order = np.lexsort((better, row, file))
    same = (np.diff(file[order], prepend=-1) == 0) & (np.diff(row[order], prepend=-1) == 0)
    return rows.take(np.sort(order[~same]))


def has_transient(table: pa.Table) -> bool:
    """Whether some of the rows of a score file have no score for a reason that may pass."""
    return pc.any(pc.is_in(table["kind"], pa.array(MAY_PASS))).as_py() or False


def find_transient_rows(
    folder: Folder, names: list[str], shown: Shown | None = None, whole_query: bool = False
) -> set[int]:
    """The rows of a file's score files, all of them together, that have no score for a reason that may pass. shown:
    what its table says of the file, whose deleted rows are left out. whole_query: the reranker saw whole queries, so a
    row that its table brings back cannot be scored by itself."""
    try:
        files = [StoredScores(found, 0, size) for found, size in _look_up(folder, names)]
    except FileNotFoundError as error:
        raise make_gone_error(error) from None
    rows = keep_best(read_scores(folder, files, explain=False))
    failed = rows.filter(pc.is_in(rows["kind"], pa.array([TRANSIENT] if whole_query else MAY_PASS)))["row"].to_numpy()
    return {*failed[~find_rows(shown.deleted, failed)].tolist()} if shown else {*failed.tolist()}


def _look_up(folder: Folder, names: list[str]) -> Iterator[tuple[ScoreFile, int]]:
    for name, size in folder.sizes(names, {}).items():
        found = parse_score_file(name)
        assert found
        yield found, size
