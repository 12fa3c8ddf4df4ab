"""Score files: what one unit came to, put once and for all, and read back whole.

A file holds the unit's rows in the unit's order. It holds no texts, but what the model wrote where the config asks
for it (`explain`).
"""

import json
from collections import Counter

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from actors.rerankers.contract import Unscored
from pipeline.errors import RunError
from pipeline.plan.rounds import base, round_of, stem
from pipeline.rows import OK, PERMANENT, REJECT, TRANSIENT, kinds_of
from pipeline.score.prompt import PromptedUnit
from pipeline.storage.folder import Folder

ROWS_PER_BUCKET = 500_000
CARRIED_ROWS_PER_BUCKET = 100_000  # with texts of the input; more of those above some hundred million rows,
CARRIED_BUCKETS = 2000  # for what a bucket reads grows with the input, and so with their number
EXPLAINED_ROWS_PER_BUCKET = 50_000  # with texts of some kB each
REPEATED = ["file", "query_id", "kind", "reason"]  # columns that a dictionary makes smaller
REASONS = 10  # kinds of them, of a unit, that are reported while the job runs
SCHEMA = pa.schema(
    [
        ("file", pa.int32()),
        ("row", pa.int64()),
        ("query_id", pa.string()),
        ("doc_id", pa.string()),
        ("first_stage_score", pa.float64()),
        ("rerank_score", pa.float64()),
        ("kind", pa.string()),
        ("reason", pa.string()),
        ("truncated", pa.bool_()),
    ]
)
EXPLAINED = SCHEMA.append(pa.field("explanation", pa.large_string()))


def bucket_count(rows: int, explain: bool = False, carried: bool = False) -> int:
    """Buckets, and so parts of the result. It depends on the number of input rows, and on what a row of the result
    holds (`output.explain`, `output.columns`), alone."""
    most = ROWS_PER_BUCKET
    if explain:
        most = EXPLAINED_ROWS_PER_BUCKET
    elif carried:
        most = min(max(CARRIED_ROWS_PER_BUCKET, rows // CARRIED_BUCKETS), ROWS_PER_BUCKET)
    return max(1, -(-rows // most))


def score_table(unit: PromptedUnit, scores: list[float | Unscored], texts: list[str | None] | None = None) -> pa.Table:
    """The rows of a unit's score file. `scores` are those of its rows of kind `ok`, in their order, and so are
    `texts`, which the model wrote (None: they are not kept)."""
    rows = unit.rows
    assert rows is not None
    kinds, reasons = rows["kind"].to_pylist(), rows["reason"].to_pylist()
    column: list[float | None] = [None] * len(rows)
    written: list[str | None] = [None] * len(rows)
    ready = [i for i, kind in enumerate(kinds) if kind == OK]
    if texts is not None:
        for i, text in zip(ready, texts, strict=True):
            written[i] = text
    for i, score in zip(ready, scores, strict=True):
        if isinstance(score, Unscored):
            kinds[i], reasons[i] = TRANSIENT if score.transient else PERMANENT, score.reason
        else:
            column[i] = score
    return pa.table(
        {
            **{name: rows[name] for name in ("file", "row", "query_id", "doc_id", "first_stage_score")},
            "rerank_score": pa.array(column, pa.float64()),
            "kind": pa.array(kinds, pa.string()),
            "reason": pa.array(reasons, pa.string()),
            "truncated": rows["truncated"],
        }
        | ({} if texts is None else {"explanation": pa.array(written, pa.large_string())}),
        SCHEMA if texts is None else EXPLAINED,
    )


def encoded(table: pa.Table, plan: str) -> bytes:
    """A score file of these rows. The plan's id tells the unit from one of the same name in another plan."""
    sink = pa.BufferOutputStream()
    pq.write_table(
        table.replace_schema_metadata({"plan": plan}),
        sink,
        row_group_size=max(1, len(table)),
        compression="zstd",
        use_dictionary=REPEATED,
        write_statistics=False,
    )
    return sink.getvalue().to_pybytes()


def read_scores(folder: Folder, units: dict[str, int], plan: str, explain: bool) -> pa.Table:
    """The rows of whole score files, in the order of `units`: name -> size.

    Raises RunError naming a file that was written for another plan.
    """
    parts = [(EXPLAINED if explain else SCHEMA).empty_table()]
    for name, data in zip(units, folder.read_ranges([(name, 0, size) for name, size in units.items()]), strict=True):
        file = pq.ParquetFile(pa.BufferReader(data), pre_buffer=False)
        if (file.metadata.metadata or {}).get(b"plan") != plan.encode():
            raise RunError(
                f"{folder.path(name)}: was written for another plan than the one beside it; "
                "run.on_existing=restart scores anew"
            )
        parts.append(file.read(use_threads=False).replace_schema_metadata(None))
    return pa.concat_tables(parts)


def worth_another_try(pairs: pa.Table, folder: Folder, before: str) -> pa.Table:
    """The pairs of a unit that have no score, for a reason that may pass, in the score file of that stem."""
    rows = _read(folder, before)
    return pairs.filter(pc.is_in(pairs["row"], rows.filter(pc.equal(rows["kind"], TRANSIENT))["row"]))


def _read(folder: Folder, stem: str) -> pa.Table:
    return pq.read_table(pa.BufferReader(folder.read(f"{stem}.parquet"))).replace_schema_metadata(None)


def reasons_of(rows: pa.Table, scores: list[float | Unscored]) -> Counter[str]:
    """How many of a unit's rows have no score for each kind of reason. `scores` are those of its rows of kind `ok`."""
    unscored = [score.reason for score in scores if isinstance(score, Unscored)]
    return kinds_of(Counter([*unscored, *filter(None, rows["reason"].to_pylist())]))


def put_scores(
    folder: Folder,
    plan: str,
    explain: bool,
    unit: PromptedUnit,
    scores: list[float | Unscored],
    texts: list[str | None],
    figures: dict[str, float],
) -> pa.Table:
    """Puts a unit's score file, unless one is there, and returns the one row about it that goes on to the driver.

    In a round after the first, all other rows are those of the round before.
    """
    rows = unit.rows if unit.rows is not None else SCHEMA.empty_table()
    name, number, size = base(unit.name), round_of(unit.name), 0
    if unit.rows is not None and (len(rows) or number):  # a later round without rows ends what a mark alone began
        table = score_table(unit, scores, texts if explain else None)
        if number:
            before = _read(folder, stem(name, number - 1))
            others = before.filter(pc.invert(pc.is_in(before["row"], rows["row"])))
            table = pa.concat_tables([others, table]).sort_by("row")
        if TRANSIENT in table["kind"].to_pylist():
            folder.put_new(f"{unit.name}.transient", b"")
        folder.put_new(f"{unit.name}.parquet", encoded(table, plan))
        size = len(table)
    kinds = rows["kind"].to_pylist()
    unscored = sum(isinstance(score, Unscored) for score in scores)
    line = {
        "unit": name,
        "rows": len(rows),
        "size": size,
        "failed": unscored + kinds.count(PERMANENT),
        "rejected": kinds.count(REJECT),
        "reasons": json.dumps(dict(reasons_of(rows, scores).most_common(REASONS))),
    }
    return pa.Table.from_pylist([line | figures])
