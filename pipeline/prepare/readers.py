"""Pieces -> tables of one form a kind, whatever the format.

run      query_id, doc_id (strings), score (float64; null where there is none, or none that is finite; its negative
         where lower is better), rank (float64; null where there is none: the order is that of the scores)
queries  query_id, query (large binary: the bytes as they are in the file)
corpus   doc_id, title (large binary; null where there is none), doc (large binary)
"""

from collections import Counter
from collections.abc import Iterator
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.errors import UsageError
from pipeline.input.columns import as_bytes, as_ids, as_scores, check_exact_ids
from pipeline.input.parquet import read_batches
from pipeline.prepare.formats import FORMATS, KINDS, BadRow, Cells, parse_objects
from pipeline.prepare.lines import find_line_number, read_blocks
from pipeline.prepare.pieces import Piece
from pipeline.prepare.sizes import Sizes

BATCH_ROWS = 8192
QUOTED = 80  # characters of a bad line that are shown
NUMBERS = ("score", "rank")
SCHEMAS = {
    kind: pa.schema(
        (name, pa.string() if name.endswith("_id") else pa.float64() if name in NUMBERS else pa.large_binary())
        for name in names
    )
    for kind, names in KINDS.items()
}


def read_piece(
    piece: Piece, sizes: Sizes = Sizes(), taken: Counter[tuple[str, str]] | None = None
) -> Iterator[pa.Table]:
    """The rows of a piece, in the order of the file, some thousand at a time.

    taken: counts the rows by (name, column), where columns have names.
    Raises UsageError naming file and line where a line has not the form of its format, and the row of an id that is a
    float and not exact.
    """
    kind = piece.source.kind
    taken = Counter() if taken is None else taken
    for table in _read_parquet(piece) if piece.source.format == "parquet" else _read_text(piece, sizes, taken):
        taken.update(dict.fromkeys(piece.taken.items(), len(table)))
        if kind == "run":
            finite = pc.fill_null(pc.is_finite(table["score"]), False)
            score = pc.negate(table["score"]) if piece.source.lower_is_better else table["score"]
            table = table.set_column(2, "score", pc.if_else(finite, score, None))
        yield table


def _read_parquet(piece: Piece) -> Iterator[pa.Table]:
    source, columns, schema = piece.source, piece.columns, SCHEMAS[piece.source.kind]
    wanted = list(dict.fromkeys(columns.values()))
    groups = range(piece.start, piece.stop)
    row = piece.first_row
    for batch in read_batches(source.path, source.size, list(piece.ranges), groups, wanted, BATCH_ROWS):
        for name, column in columns.items():
            if name.endswith("_id"):
                check_exact_ids(source.path, batch[column], row, column, name, f"--column {source.kind}.")
        row += len(batch)
        arrays = []
        for name in schema.names:
            typed = as_ids if name.endswith("_id") else as_scores if name in NUMBERS else as_bytes
            there = name in columns
            arrays.append(typed(batch[columns[name]]) if there else pa.nulls(len(batch), schema.field(name).type))
        yield pa.table(arrays, schema)


def _read_text(piece: Piece, sizes: Sizes, taken: Counter[tuple[str, str]]) -> Iterator[pa.Table]:
    source = piece.source
    parse = FORMATS[source.kind][source.format].read
    assert parse is not None
    if parse is parse_objects:  # each line says by itself which columns it has
        parse = partial(parse_objects, taken=taken)
    for at, lines in read_blocks(source, piece.start, piece.stop, sizes):
        try:
            yield _make_table(source.kind, parse(lines, piece.columns))
        except BadRow as bad:
            line = [i for i, text in enumerate(lines) if text.strip()][bad.row]
            quoted = lines[line][:QUOTED].decode("utf-8", "replace")
            number = find_line_number(source, at, sizes) + line
            raise UsageError(f"{source.path}: line {number}: {bad.what}: {quoted}") from None


def _make_table(kind: str, cells: Cells) -> pa.Table:
    if "score" in cells:
        cells["score"] = _parse_numbers(cells["score"], "score", float)
    elif "rank" in cells:
        cells["score"] = [1 / rank for rank in _parse_numbers(cells["rank"], "rank", int, 1)]  # as Anserini has it
    arrays = []
    for name, type in zip(SCHEMAS[kind].names, SCHEMAS[kind].types, strict=True):
        if name.endswith("_id"):
            arrays.append(as_ids(pa.array(cells[name], pa.binary())))
        elif name == "rank" and name in cells:
            arrays.append(_read_ranks(cells[name]))
        else:
            count = len(cells["doc_id" if kind == "corpus" else "query_id"])
            arrays.append(pa.array(cells.get(name, [None] * count), type))
    return pa.table(arrays, SCHEMAS[kind])


def _read_ranks(cells: list[Any]) -> pa.Array:
    """Ranks as float64, all null where one is none: they decide nothing."""
    ranks = pa.array(cells)
    try:
        return (ranks.cast(pa.string()) if ranks.type == pa.binary() else ranks).cast(pa.float64(), safe=False)
    except pa.ArrowException:
        return pa.nulls(len(cells), pa.float64())


def _parse_numbers(cells: list[Any], what: str, number: type, least: float = float("-inf")) -> list[Any]:
    """Each cell as a number; None stays. Raises BadRow for one that is none, or less than `least`."""
    found = []
    for row, cell in enumerate(cells):
        try:
            value = None if cell is None else number(cell)
        except (ValueError, OverflowError):
            raise BadRow(row, f"has no number for the {what}") from None
        if value is not None and value < least:
            raise BadRow(row, f"has a {what} below {least}")
        found.append(value)
    return found
