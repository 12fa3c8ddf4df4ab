"""Rows with texts -> the pairs that a reranker scores, and hashes of them."""

import hashlib
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from actors.rerankers import Settings
from actors.rerankers.contract import Pair
from pipeline.input.columns import TEXTS

TEXT = pa.large_string()


def make_pairs(texts: pa.Table, settings: Settings) -> list[Pair]:
    """The pairs of rows with `query`, `doc`, and optionally `title` and `instruction`.

    A title is put before its document, as in rank1's reference, unless it is blank, as BEIR's code has it; a row
    without an instruction has the config's.
    """
    queries, docs, missing = texts["query"].to_pylist(), texts["doc"].to_pylist(), [None] * len(texts)
    found = texts["title"].to_pylist() if "title" in texts.column_names else missing
    titles = [title if title and not title.isspace() else None for title in found]
    instructions = texts["instruction"].to_pylist() if "instruction" in texts.column_names else missing
    default = getattr(settings, "instruction", None)
    return [
        Pair(
            query,
            doc if title is None else f"{title} {doc}",
            default if instruction is None else instruction,
            title_end=0 if title is None else len(title) + 1,
        )
        for query, doc, title, instruction in zip(queries, docs, titles, instructions, strict=True)
    ]


def hash_texts(rows: pa.Table) -> pa.Array:
    """The 128-bit BLAKE2b hash of each row's query, document, title and instruction; null and empty texts differ."""
    return pa.array([*map(_hash, _join_texts(rows, TEXTS).to_pylist())], pa.binary(16))


def hash_queries(rows: pa.Table) -> pa.Array:
    """A 64-bit hash of what each row asks: its query, and its instruction. Null where it has no query."""
    asked = _join_texts(rows, [name for name in ("query", "instruction") if name in rows.column_names])
    found = asked.dictionary_encode()
    hashes = b"".join(map(_hash, found.dictionary.to_pylist()))
    numbers = np.frombuffer(hashes, ">u8")[::2].astype(np.uint64)[found.indices.to_numpy()]
    return pa.array(numbers, mask=rows["query"].is_null().to_numpy())


def _join_texts(rows: pa.Table, names: Sequence[str]) -> pa.Array:
    """A value of bytes for each row that only rows with the same texts have. A column that is not there is null."""
    none = pa.scalar("", TEXT)
    marks = []
    for name in names:
        texts = rows[name].combine_chunks().cast(TEXT) if name in rows.column_names else pa.nulls(len(rows), TEXT)
        length = pc.utf8_length(texts).cast(TEXT)
        marks.append(pc.fill_null(pc.binary_join_element_wise(length, texts, pa.scalar(":", TEXT)), none))
    return pc.binary_join_element_wise(*marks, pa.scalar("|", TEXT)).cast(pa.large_binary())


def _hash(texts: bytes) -> bytes:
    return hashlib.blake2b(texts, digest_size=16).digest()
