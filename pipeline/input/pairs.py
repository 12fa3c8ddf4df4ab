"""Rows with texts -> the pairs that a reranker scores, and hashes of them."""

import hashlib

import pyarrow as pa

from actors.rerankers import Settings
from actors.rerankers.contract import Pair
from pipeline.input.columns import TEXTS


def make_pairs(texts: pa.Table, settings: Settings) -> list[Pair]:
    """The pairs of rows with `query`, `doc`, and optionally `title` and `instruction`.

    A title is put before its document, as in rank1's reference; a row without an instruction has the config's.
    """
    queries, docs, missing = texts["query"].to_pylist(), texts["doc"].to_pylist(), [None] * len(texts)
    titles = texts["title"].to_pylist() if "title" in texts.column_names else missing
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


def hash_queries(texts: pa.ChunkedArray) -> pa.Array:
    """A 64-bit BLAKE2b hash of each query's text; null stays null."""
    known = [text for text in texts.unique().to_pylist() if text is not None]
    digests = (hashlib.blake2b(text.encode(), digest_size=8).digest() for text in known)
    hashes = {text: int.from_bytes(digest, "big") for text, digest in zip(known, digests, strict=True)}
    return pa.array([hashes.get(text) for text in texts.to_pylist()], pa.uint64())


def _hash(texts: tuple[str | None, ...]) -> bytes:
    marks = [b"" if text is None else b"%d:%b" % (len(text), text.encode()) for text in texts]  # so no two rows are one
    return hashlib.blake2b(b"|".join(marks), digest_size=16).digest()
