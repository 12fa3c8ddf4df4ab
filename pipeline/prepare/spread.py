"""The rows of a piece, put into files by the bucket of an id: the half of a join that reads the input, once.

A task holds the rows that it keeps until they are Sizes.file_bytes, and writes them as one file.
"""

from collections import Counter
from dataclasses import dataclass, field
from functools import reduce

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.prepare.pieces import Piece
from pipeline.prepare.readers import SCHEMAS, read_piece
from pipeline.prepare.sizes import Sizes
from pipeline.prepare.tell import name_taken
from pipeline.rank.buckets import encode_by_bucket, find_buckets, hash_crc32
from pipeline.storage.folder import Folder

ROW_COUNTS = {"run": "run_rows", "queries": "query_rows", "corpus": "corpus_docs"}
ID_COLUMNS = {"run": "query_id", "queries": "query_id", "corpus": "doc_id"}
REQUIRED = ("query_id", "doc_id", "score")  # of a run's row
RUN_SCHEMA = pa.schema([("run", pa.int16()), *SCHEMAS["run"]])
TEXT_SCHEMAS = {
    kind: pa.schema(
        (field.name, pa.large_string() if field.type == pa.large_binary() else field.type) for field in schema
    )
    for kind, schema in SCHEMAS.items()
    if kind != "run"
}
STORED_SCHEMAS = TEXT_SCHEMAS | {"run": RUN_SCHEMA}


@dataclass(frozen=True)
class Spread:
    """The task. wanted: the hashes of the ids to keep, sorted; None for all. counts: those in ROW_COUNTS,
    unusable_rows (of a run: without an id or a score), mended_texts (that are not UTF-8), and rows by the columns they
    have (pipeline.prepare.tell)."""

    scratch: Folder
    buckets: int
    wanted: np.ndarray | None = None
    sizes: Sizes = field(default_factory=Sizes)

    def __call__(self, numbered: tuple[int, Piece]) -> tuple[dict[str, np.ndarray], Counter[str]]:
        """The index of each file that was written, in the order of the rows, and the counts."""
        number, piece = numbered
        held: list[pa.Table] = []
        size = 0
        files: dict[str, np.ndarray] = {}
        counts: Counter[str] = Counter()
        taken: Counter[tuple[str, str]] = Counter()
        for table in read_piece(piece, self.sizes, taken):
            counts[ROW_COUNTS[piece.source.kind]] += len(table)
            held.append(self._clean(piece, table, counts))
            size += held[-1].nbytes
            if size >= self.sizes.file_bytes:
                files |= self._put(piece, f"{number:06d}-{len(files):04d}", held)
                held, size = [], 0
        if any(len(table) for table in held):
            files |= self._put(piece, f"{number:06d}-{len(files):04d}", held)
        counts.update({name_taken(piece.source.kind, *pair): rows for pair, rows in taken.items()})
        return files, counts

    def _clean(self, piece: Piece, table: pa.Table, counts: Counter[str]) -> pa.Table:
        """The rows that are kept, in the form in which they are kept."""
        kind = piece.source.kind
        if kind == "run":
            usable = table.filter(reduce(pc.and_, (pc.is_valid(table[name]) for name in REQUIRED)))
            counts["unusable_rows"] += len(table) - len(usable)
            runs = pa.repeat(pa.scalar(piece.source.number, pa.int16()), len(usable))
            return usable.add_column(0, RUN_SCHEMA.field("run"), runs)
        key = ID_COLUMNS[kind]
        counts["rows_without_id"] += table[key].null_count
        table = table.filter(pc.is_valid(table[key]))
        if self.wanted is not None:
            table = table.filter(pa.array(_find_wanted(hash_crc32(table[key]), self.wanted)))
        for at, column in enumerate(TEXT_SCHEMAS[kind]):
            if column.name != key:
                text, mended = mend_texts(table[column.name])
                counts["mended_texts"] += mended
                table = table.set_column(at, column, _empty_to_null(text) if column.name == "title" else text)
        return table

    def _put(self, piece: Piece, name: str, tables: list[pa.Table]) -> dict[str, np.ndarray]:
        kind = piece.source.kind
        rows = pa.concat_tables(tables)
        data, index = encode_by_bucket(rows, find_buckets(rows[ID_COLUMNS[kind]], self.buckets), self.buckets)
        self.scratch.put(f"{kind}/{name}.arrow", data)
        return {f"{kind}/{name}.arrow": index}


def mend_texts(texts: pa.ChunkedArray) -> tuple[pa.ChunkedArray, int]:
    """Texts as large strings, and how many of them are not UTF-8: their invalid bytes become U+FFFD."""
    try:
        return texts.cast(pa.large_string()), 0
    except pa.ArrowInvalid:
        decoded = [value and value.decode("utf-8", "replace") for value in texts.to_pylist()]
        broken = sum(value != (text and text.encode()) for value, text in zip(texts.to_pylist(), decoded, strict=True))
        return pa.chunked_array([pa.array(decoded, pa.large_string())]), broken


def _empty_to_null(titles: pa.ChunkedArray) -> pa.ChunkedArray:
    """A title without a word is none: the job would put it before the document."""
    return pc.if_else(pc.equal(pc.utf8_trim_whitespace(titles), ""), None, titles)


def _find_wanted(values: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Which of the values are wanted. wanted: sorted."""
    if not len(wanted):
        return np.zeros(len(values), dtype=bool)
    at = np.searchsorted(wanted, values)
    at[at == len(wanted)] = 0
    return wanted[at] == values
