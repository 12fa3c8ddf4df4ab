"""Score files: the scores of one unit, put once, never changed, and read back whole.

A file holds the unit's rows in the unit's order. It holds no texts of the input. Where the config asks for it
(`explain`), it holds what the model wrote.
"""

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from actors.rerankers.contract import Unscored
from pipeline.errors import RunError
from pipeline.rows import OK, PERMANENT, TRANSIENT
from pipeline.score.prompt import PromptedUnit
from pipeline.storage.folder import Folder

DICTIONARY_COLUMNS = ["file", "query_id", "kind", "reason"]  # those that a dictionary makes smaller
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


def make_score_table(
    unit: PromptedUnit, scores: list[float | Unscored], texts: list[str | None] | None = None
) -> pa.Table:
    """The rows of a unit's score file.

    scores: of the rows of kind `ok`, in their order. texts: what the model wrote for each of them; None if it is not
    kept.
    """
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


def encode_scores(table: pa.Table, plan: str) -> bytes:
    """A score file of these rows, as bytes.

    plan: its id, which distinguishes the unit from one of the same name in another plan.
    """
    sink = pa.BufferOutputStream()
    pq.write_table(
        table.replace_schema_metadata({"plan": plan}),
        sink,
        row_group_size=max(1, len(table)),
        compression="zstd",
        use_dictionary=DICTIONARY_COLUMNS,
        write_statistics=False,
    )
    return sink.getvalue().to_pybytes()


def read_scores(folder: Folder, units: dict[str, int], plan: str, explain: bool) -> pa.Table:
    """The rows of whole score files, in the order of `units`.

    units: name of a file -> its size. explain: whether the rows have the model's texts. Raises RunError naming a file
    that was written for another plan.
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


def select_transient(pairs: pa.Table, folder: Folder, scored: str) -> pa.Table:
    """The pairs of a unit that are worth another try.

    scored: the name of the score file, without its extension, that says which they are.
    """
    rows = read_score_file(folder, scored)
    return pairs.filter(pc.is_in(pairs["row"], rows.filter(pc.equal(rows["kind"], TRANSIENT))["row"]))


def read_score_file(folder: Folder, name: str) -> pa.Table:
    """The rows of one score file. name: without its extension."""
    return pq.read_table(pa.BufferReader(folder.read(f"{name}.parquet"))).replace_schema_metadata(None)
