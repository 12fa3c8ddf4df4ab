"""Rows with texts -> the pairs that a reranker scores, and hashes of them."""

import hashlib

import pyarrow as pa

from actors.rerankers import Settings
from actors.rerankers.contract import Pair
from pipeline.input.columns import TEXTS


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
    missing = [None] * len(rows)
    columns = [rows[name].to_pylist() if name in rows.column_names else missing for name in TEXTS]
    return pa.array([_hash(texts) for texts in zip(*columns, strict=True)], pa.binary(16))


def hash_queries(rows: pa.Table) -> pa.Array:
    """A 64-bit hash of what each row asks: its query, and its instruction. Null where it has no query."""
    columns = [rows[name].to_pylist() for name in ("query", "instruction") if name in rows.column_names]
    asked = [*zip(*columns, strict=True)]
    hashes = {texts: int.from_bytes(_hash(texts)[:8], "big") for texts in set(asked) if texts[0] is not None}
    return pa.array([hashes.get(texts) for texts in asked], pa.uint64())


def _hash(texts: tuple[str | None, ...]) -> bytes:
    marks = [b"" if text is None else b"%d:%b" % (len(text), text.encode()) for text in texts]  # so no two rows are one
    return hashlib.blake2b(b"|".join(marks), digest_size=16).digest()
