"""The rows of a piece, put into files by the bucket of an id: the half of a join that reads the input, once.

A task holds the rows that it keeps until they are FILE_BYTES, and writes them as one file.
"""

from collections import Counter
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.prepare.pieces import Piece
from pipeline.prepare.readers import SCHEMAS, read
from pipeline.rank.buckets import bucket_of, bucketed, hashes
from pipeline.storage.folder import Folder

FILE_BYTES = 64 * 2**20  # of rows in memory, held three times
ROWS = {"run": "run_rows", "queries": "query_rows", "corpus": "corpus_docs"}
KEYS = {"run": "query_id", "queries": "query_id", "corpus": "doc_id"}
RUN = pa.schema([("run", pa.int16()), *SCHEMAS["run"]])
TEXTS = {
    kind: pa.schema((field.name, pa.large_string() if field.type == pa.large_binary() else field.type) for field in of)
    for kind, of in SCHEMAS.items()
    if kind != "run"
}
STORED = TEXTS | {"run": RUN}


@dataclass(frozen=True)
class Spread:
    """The task. wanted: the hashes of the ids to keep, sorted; None for all. counts: those in ROWS, unusable_rows (of
    a run: without an id or a score), mended_texts (that are not UTF-8)."""

    work: Folder
    buckets: int
    wanted: np.ndarray | None = None

    def __call__(self, numbered: tuple[int, Piece]) -> tuple[dict[str, np.ndarray], Counter[str]]:
        """The index of each file that was written, in the order of the rows, and the counts."""
        number, piece = numbered
        held: list[pa.Table] = []
        size = 0
        files: dict[str, np.ndarray] = {}
        counts: Counter[str] = Counter()
        for table in read(piece):
            counts[ROWS[piece.source.kind]] += len(table)
            held.append(self._stored(piece, table, counts))
            size += held[-1].nbytes
            if size >= FILE_BYTES:
                files |= self._put(piece, f"{number:06d}-{len(files):04d}", held)
                held, size = [], 0
        if any(len(table) for table in held):
            files |= self._put(piece, f"{number:06d}-{len(files):04d}", held)
        return files, counts

    def _stored(self, piece: Piece, table: pa.Table, counts: Counter[str]) -> pa.Table:
        """The rows that are kept, in the form in which they are kept."""
        kind = piece.source.kind
        if kind == "run":
            usable = table.drop_null()
            counts["unusable_rows"] += len(table) - len(usable)
            runs = pa.repeat(pa.scalar(piece.source.number, pa.int16()), len(usable))
            return usable.add_column(0, RUN.field("run"), runs)
        key = KEYS[kind]
        table = table.filter(pc.is_valid(table[key]))
        if self.wanted is not None:
            table = table.filter(pa.array(_among(hashes(table[key]), self.wanted)))
        for at, field in enumerate(TEXTS[kind]):
            if field.name != key:
                text, mended = mend(table[field.name])
                counts["mended_texts"] += mended
                table = table.set_column(at, field, _empty_to_null(text) if field.name == "title" else text)
        return table

    def _put(self, piece: Piece, name: str, tables: list[pa.Table]) -> dict[str, np.ndarray]:
        kind = piece.source.kind
        rows = pa.concat_tables(tables)
        data, index = bucketed(rows, bucket_of(rows[KEYS[kind]], self.buckets), self.buckets)
        self.work.put(f"{kind}/{name}.arrow", data)
        return {f"{kind}/{name}.arrow": index}


def mend(texts: pa.ChunkedArray) -> tuple[pa.ChunkedArray, int]:
    """Texts as large strings, and how many of them are not UTF-8: those have U+FFFD for what is none."""
    try:
        return texts.cast(pa.large_string()), 0
    except pa.ArrowInvalid:
        decoded = [value and value.decode("utf-8", "replace") for value in texts.to_pylist()]
        broken = sum(value != (text and text.encode()) for value, text in zip(texts.to_pylist(), decoded, strict=True))
        return pa.chunked_array([pa.array(decoded, pa.large_string())]), broken


def _empty_to_null(titles: pa.ChunkedArray) -> pa.ChunkedArray:
    """A title without a word is none: the job would put it before the document."""
    return pc.if_else(pc.equal(pc.utf8_trim_whitespace(titles), ""), None, titles)


def _among(values: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Which of the values are wanted. wanted: sorted."""
    if not len(wanted):
        return np.zeros(len(values), dtype=bool)
    at = np.searchsorted(wanted, values)
    at[at == len(wanted)] = 0
    return wanted[at] == values
