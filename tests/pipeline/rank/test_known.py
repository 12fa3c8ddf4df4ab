"""pipeline/rank/known.py: what is known of pairs by the hash of their texts."""

import pyarrow as pa
import pytest

from pipeline.input.pairs import hash_texts
from pipeline.rank.buckets import find_buckets
from pipeline.rank.known import KnownScores
from pipeline.score.files import get_schema

Row = tuple[str, str, str, float | None, str, str | None]  # query_id, query, doc, score, kind, reason
STORED: list[Row] = [
    ("q", "what", "this", 0.5, "ok", None),
    ("q", "what", "that", None, "permanent", "too odd"),
    ("q", "what", "these", None, "transient", "the worker died"),
    ("q", "what", "twice", None, "permanent", "too odd"),
    ("q", "what", "twice", 0.25, "ok", None),
    ("p", "who", "he", 0.75, "ok", None),
]


def read(bucket: int, buckets: int, explain: bool = False) -> pa.Table:
    texts = pa.table({"query": [row[1] for row in STORED], "doc": [row[2] for row in STORED]})
    rows = [
        {"query_id": row[0], "rerank_score": row[3], "kind": row[4], "reason": row[5], "truncated": row[2] == "this"}
        | {"texts": texts, "file": 0, "row": 0, "explanation": f"about {row[2]}"}
        for row, texts in zip(STORED, hash_texts(texts).to_pylist(), strict=True)
    ]
    table = pa.Table.from_pylist(rows, get_schema(explain))
    return table.filter(pa.array(find_buckets(table["query_id"], buckets) == bucket))


@pytest.mark.parametrize("buckets", [1, 2, 7])
@pytest.mark.parametrize(
    "query_id, query, doc, own, expected",
    [
        ("q", "what", "this", "ok", ("known", None, 0.5, True)),
        ("q", "what", "that", "ok", ("permanent", "too odd", None, False)),
        ("q", "what", "these", "ok", ("ok", None, None, False)),
        ("q", "what", "twice", "ok", ("known", None, 0.25, False)),
        ("p", "who", "he", "ok", ("known", None, 0.75, False)),
        ("p", "who", "she", "ok", ("ok", None, None, False)),
        ("q", "what?", "this", "ok", ("ok", None, None, False)),
        ("q", "what", "this", "permanent", ("permanent", "own", None, False)),
    ],
    ids=["a score", "a reason that stays", "one that may pass", "a score first", "another query", "a new document",
         "a new query text", "wrong by itself"],
)  # fmt: skip
def test_a_pair_is_known_by_its_texts(
    query_id: str, query: str, doc: str, own: str, expected: tuple, buckets: int
) -> None:
    pair = {"row": 3, "query_id": query_id, "query": query, "doc_id": "d", "doc": doc, "first_stage_score": 1.0}
    reason = None if own == "ok" else "own"
    schema = pa.schema([("kind", pa.string()), ("reason", pa.string())])
    pairs = pa.Table.from_pylist([pair])
    for name, value in (("kind", own), ("reason", reason)):
        pairs = pairs.append_column(schema.field(name), pa.array([value], pa.string()))
    (found,) = KnownScores(lambda bucket: read(bucket, buckets), buckets)(pairs).to_pylist()
    assert tuple(found[name] for name in ("kind", "reason", "rerank_score", "truncated")) == expected
    assert (found["row"], found["doc_id"]) == (3, "d")


def test_what_the_model_wrote_is_known_too() -> None:
    pairs = pa.table({"row": [0, 1], "query_id": ["p", "q"], "query": ["who", "what"], "doc_id": ["a", "b"],
                      "doc": ["he", "that"], "first_stage_score": [1.0, 2.0], "kind": ["ok", "ok"],
                      "reason": pa.nulls(2, pa.string())})  # fmt: skip
    found = KnownScores(lambda bucket: read(bucket, 2, explain=True), 2)(pairs)
    assert found["explanation"].to_pylist() == ["about he", "about that"]
