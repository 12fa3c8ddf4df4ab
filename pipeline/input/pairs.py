"""Rows with texts -> the pairs that a reranker is asked about."""

import pyarrow as pa

from actors.rerankers import Settings
from actors.rerankers.contract import Pair


def pairs_of(texts: pa.Table, settings: Settings) -> list[Pair]:
    """The pairs of rows with a query and a doc, and maybe a title and an instruction.

    A title stands before its document, as rank1's reference has it; a row without an instruction has the config's.
    """
    queries, docs, nothing = texts["query"].to_pylist(), texts["doc"].to_pylist(), [None] * len(texts)
    titles = texts["title"].to_pylist() if "title" in texts.column_names else nothing
    instructions = texts["instruction"].to_pylist() if "instruction" in texts.column_names else nothing
    default = getattr(settings, "instruction", None)
    return [
        Pair(query, doc if title is None else f"{title} {doc}", default if instruction is None else instruction)
        for query, doc, title, instruction in zip(queries, docs, titles, instructions, strict=True)
    ]
