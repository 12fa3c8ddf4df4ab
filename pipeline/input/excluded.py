"""Documents that are no candidates of some queries, by the rules of a collection.

Its files list them, as BRIGHT's do; or they are the query itself, as in ArguAna, where it is a document, too.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.errors import UsageError
from pipeline.input.match import Usual
from pipeline.input.records import PARQUET_MAGIC, parse_id, read_objects, read_parquet
from pipeline.input.texts import decode_lines, fetch_text

USUAL = {
    "query_id": Usual("query_id", ("query_id", "query-id", "qid"), ("id", "_id")),
    "excluded": Usual("excluded", ("excluded_ids", "excluded")),
}
NONE = ["N/A"]  # how BRIGHT writes an empty list


@dataclass(frozen=True)
class LeftOut:
    """identical: documents with the id of their query. listed: query_id -> ids of other documents."""

    identical: bool = False
    listed: Mapping[str, frozenset[str]] = field(default_factory=dict)

    def find(self, queries: pa.Array, docs: pa.Array) -> np.ndarray:
        """Which of the rows are left out. queries, docs: their ids, as strings."""
        found = find_identical(queries, docs) if self.identical else np.zeros(len(queries), bool)
        if self.listed:
            at = np.flatnonzero(pc.is_in(queries, pa.array(self.listed, queries.type)).to_numpy(zero_copy_only=False))
            pairs = zip(queries.take(at).to_pylist(), docs.take(at).to_pylist(), strict=True)
            found[at] |= np.fromiter((doc in self.listed[query] for query, doc in pairs), bool, len(at))
        return found


def find_identical(queries: pa.Array, docs: pa.Array) -> np.ndarray:
    """Which rows name a document by the id of their query."""
    return pc.equal(queries, docs).to_numpy(zero_copy_only=False)


def read_excluded(path: str) -> dict[str, frozenset[str]]:
    """query_id -> the documents that a file excludes for it.

    The file is JSONL or Parquet, with a query's id and a list of ids (`excluded_ids`) in each row, as BRIGHT's
    examples have it.
    Raises UsageError naming the file, and the line or row that is wrong.
    """
    data = fetch_text(path, "--excluded")
    parquet = data.startswith(PARQUET_MAGIC)
    rows = read_parquet(path, data, USUAL) if parquet else read_objects(path, decode_lines(path, data, "it"), USUAL)
    listed: dict[str, frozenset[str]] = {}
    for place, (query, docs) in rows:
        if not isinstance(docs, list):
            raise UsageError(f"{path}: {place}: has {docs!r} for the excluded ids, which is not a list")
        ids = frozenset(parse_id(path, place, doc) for doc in docs if docs != NONE)
        query = parse_id(path, place, query)
        listed[query] = listed.get(query, frozenset()) | ids
    if not any(listed.values()):
        raise UsageError(f"{path}: excludes no document")
    return listed
