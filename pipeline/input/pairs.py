"""Rows with texts -> the pairs that a reranker scores."""

import pyarrow as pa

from actors.rerankers import Settings
from actors.rerankers.contract import Pair


def make_pairs(texts: pa.Table, settings: Settings) -> list[Pair]:
    """The pairs of rows with `query`, `doc`, and optionally `title` and `instruction`.

    A title is put before its document, as in rank1's reference; a row without an instruction has the config's.
    """
    queries, docs, missing = texts["query"].to_pylist(), texts["doc"].to_pylist(), [None] * len(texts)
    titles = texts["title"].to_pylist() if "title" in texts.column_names else missing
    instructions = texts["instruction"].to_pylist() if "instruction" in texts.column_names else missing
    default = getattr(settings, "instruction", None)
    return [
        Pair(query, doc if title is None else f"{title} {doc}", default if instruction is None else instruction)
        for query, doc, title, instruction in zip(queries, docs, titles, instructions, strict=True)
    ]
