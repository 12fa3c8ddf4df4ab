"""Columns of every Arrow type come out as the ids, texts and scores that a person would write for them."""

import datetime
import decimal
import hashlib
import uuid
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from pipeline.config import Config
from pipeline.errors import UsageError
from pipeline.input.columns import as_ids, as_scores, as_text, check_schema, hash_ids, select_columns

MOMENT = datetime.datetime(2026, 11, 21, 9, 5, 3)
UUID = uuid.UUID("550e8400-e29b-41d4-a716-446655440000")

IDS = [
    (pa.array([12, -3, None], pa.int8()), ["12", "-3", None]),
    (pa.array([12, -3, None], pa.int64()), ["12", "-3", None]),
    (pa.array([2**64 - 1], pa.uint64()), ["18446744073709551615"]),
    (pa.array(["d1", "é", "", None], pa.string()), ["d1", "é", "", None]),
    (pa.array(["d1", "é", "", None], pa.large_string()), ["d1", "é", "", None]),
    (pa.array(["d1", "é", "", None], pa.string_view()), ["d1", "é", "", None]),
    (pa.array(["d2", "d1", "d2", None]).dictionary_encode(), ["d2", "d1", "d2", None]),
    (pa.array([7, 5, 7, None]).dictionary_encode(), ["7", "5", "7", None]),
    (pa.array([True, False, None]), ["true", "false", None]),
    (pa.array([1.5, 2.0, None], pa.float64()), ["1.5", "2", None]),
    (pa.array([0.1], pa.float32()), ["0.1"]),
    (pa.array(np.array([1.5], dtype=np.float16)), ["1.5"]),
    (pa.array([decimal.Decimal("1.50"), None], pa.decimal128(5, 2)), ["1.50", None]),
    (pa.array([MOMENT.date(), None], pa.date32()), ["2026-11-21", None]),
    (pa.array([MOMENT.date(), None], pa.date64()), ["2026-11-21", None]),
    (pa.array([MOMENT, None], pa.timestamp("s")), ["2026-11-21 09:05:03", None]),
    (pa.array([MOMENT, None], pa.timestamp("ms")), ["2026-11-21 09:05:03.000", None]),
    (pa.array([MOMENT, None], pa.timestamp("s", "UTC")), ["2026-11-21 09:05:03Z", None]),
    (pa.array([MOMENT.time(), None], pa.time32("s")), ["09:05:03", None]),
    (pa.array([b"d1", "é".encode(), b"", None]), ["d1", "é", "", None]),
    (pa.array([b"d1", b"\xff\x00", b"", None]), ["d1", "0xff00", "", None]),
    (pa.array([b"d1", b"\xff\x00", b"", None], pa.large_binary()), ["d1", "0xff00", "", None]),
    (pa.array([b"d1", b"\xff\x00", b"", None], pa.binary_view()), ["d1", "0xff00", "", None]),
    (pa.array([b"d1", b"\xff\x00", None]).dictionary_encode(), ["d1", "0xff00", None]),
    (pa.array([b"ab", b"\xff\x00", None], pa.binary(2)), ["0x6162", "0xff00", None]),
    (pa.array([UUID.bytes, None], pa.uuid()), ["550e8400-e29b-41d4-a716-446655440000", None]),
    (pa.nulls(2), [None, None]),
    (pa.array([], pa.binary()), []),
    (pa.array([], pa.string()).dictionary_encode(), []),
]

TEXTS = [
    (pa.array(["a b", "é\U0001f600", "", None], pa.string()), ["a b", "é\U0001f600", "", None]),
    (pa.array(["a b", "é\U0001f600", "", None], pa.large_string()), ["a b", "é\U0001f600", "", None]),
    (pa.array(["a b", "é\U0001f600", "", None], pa.string_view()), ["a b", "é\U0001f600", "", None]),
    (pa.array(["b", "a", "b", None]).dictionary_encode(), ["b", "a", "b", None]),
    (pa.array(["b", "a", None], pa.large_string()).dictionary_encode(), ["b", "a", None]),
    (pa.array(["é".encode(), b"", None], pa.binary()), ["é", "", None]),
    (pa.array(["é".encode(), b"", None], pa.large_binary()), ["é", "", None]),
    (pa.array(["é".encode(), b"", None], pa.binary_view()), ["é", "", None]),
    (pa.array(['{"a": 1}', None], pa.json_()), ['{"a": 1}', None]),
    (pa.nulls(2), [None, None]),
    (pa.array([], pa.string()), []),
]

SCORES = [
    (pa.array([3, -1, None], pa.int32()), [3.0, -1.0, None]),
    (pa.array([2**64 - 1], pa.uint64()), [2.0**64]),
    (pa.array(np.array([1.5, -0.25], dtype=np.float16)), [1.5, -0.25]),
    (pa.array([0.1, None], pa.float32()), [0.10000000149011612, None]),
    (pa.array([0.1, float("inf"), None], pa.float64()), [0.1, float("inf"), None]),
    (pa.array([decimal.Decimal("-1.25"), None], pa.decimal128(5, 2)), [-1.25, None]),
    (pa.array([decimal.Decimal("-1.25"), None], pa.decimal256(50, 2)), [-1.25, None]),
    (pa.array([1.5, 2.5, 1.5, None]).dictionary_encode(), [1.5, 2.5, 1.5, None]),
    (pa.nulls(2), [None, None]),
]


def by_type(cases: list[tuple[pa.Array, Any]]) -> Any:
    return pytest.mark.parametrize("column, expected", cases, ids=[str(column.type) for column, _ in cases])


@by_type(IDS)
def test_ids_are_strings(column: pa.Array, expected: list[str | None]) -> None:
    check_schema("pairs.parquet", pa.schema({"id": column.type}), {"doc_id": "id"})
    assert as_ids(column).type == pa.string()
    assert as_ids(column).to_pylist() == expected


@by_type(TEXTS)
def test_texts_are_large_strings(column: pa.Array, expected: list[str | None]) -> None:
    check_schema("pairs.parquet", pa.schema({"text": column.type}), {"doc": "text"})
    texts, broken = as_text(column)
    assert texts.type == pa.large_string()
    assert texts.to_pylist() == expected
    assert broken.to_pylist() == [False] * len(expected)


@by_type(SCORES)
def test_scores_are_float64(column: pa.Array, expected: list[float | None]) -> None:
    check_schema("pairs.parquet", pa.schema({"bm25": column.type}), {"score": "bm25"})
    assert as_scores(column).type == pa.float64()
    assert as_scores(column).to_pylist() == expected


def test_a_slice_of_a_column_is_read_as_the_slice() -> None:
    assert as_ids(pa.array([1, 2, 3]).slice(1, 1)).to_pylist() == ["2"]
    assert as_ids(pa.array(["a", "b", "c"]).dictionary_encode().slice(1, 1)).to_pylist() == ["b"]
    assert as_ids(pa.array([UUID.bytes, bytes(16)], pa.uuid()).slice(1)).to_pylist() == [str(uuid.UUID(int=0))]
    assert as_text(pa.array([b"a", b"\xff", b"c"]).slice(1))[0].to_pylist() == [None, "c"]


NOT_UTF8 = [b"plain", b"\xff\xfe", "é".encode("latin-1"), b"\xed\xa0\x80", b"cut \xe2\x82", None]  # and a surrogate


@pytest.mark.parametrize("kind", [pa.binary(), pa.large_binary(), pa.binary_view()], ids=str)
def test_text_that_is_not_utf8_is_null_and_marked(kind: pa.DataType) -> None:
    texts, broken = as_text(pa.array(NOT_UTF8, kind))
    assert texts.to_pylist() == ["plain", None, None, None, None, None]
    assert broken.to_pylist() == [False, True, True, True, True, False]


def test_string_columns_may_hold_what_is_not_utf8() -> None:
    """Parquet's writers are not made to check what they call a string."""
    column = pa.array(NOT_UTF8, pa.binary())
    strings = pa.Array.from_buffers(pa.string(), len(column), column.buffers(), column.null_count)
    texts, broken = as_text(strings)
    assert texts.to_pylist() == ["plain", None, None, None, None, None]
    assert broken.to_pylist() == [False, True, True, True, True, False]
    assert as_ids(strings).to_pylist() == ["plain", "0xfffe", "0xe9", "0xeda080", "0x63757420e282", None]


def test_hash_ids_are_the_128_bit_blake2b_of_the_text_in_hex() -> None:
    texts = pa.array(["what is a shard", "é", "", None, "é"], pa.large_string())
    assert hash_ids(texts).to_pylist() == [
        hashlib.blake2b(b"what is a shard", digest_size=16).hexdigest(),
        hashlib.blake2b(b"\xc3\xa9", digest_size=16).hexdigest(),
        "cae66941d9efbd404e4d88758ea67670",  # b2sum --length=128 < /dev/null
        None,
        hashlib.blake2b(b"\xc3\xa9", digest_size=16).hexdigest(),
    ]


def test_an_id_made_of_a_query_and_its_instruction() -> None:
    queries = pa.array(["a", "a", "a", "b", None], pa.large_string())
    instructions = pa.array(["find", None, "", "find", "find"], pa.large_string())
    a, b = (hashlib.blake2b(text, digest_size=16).hexdigest() for text in (b"a", b"b"))
    made = [hashlib.blake2b(text.encode(), digest_size=16).hexdigest() for text in (a + "find", a, b + "find")]
    assert hash_ids(queries, instructions).to_pylist() == [made[0], a, made[1], made[2], None]


def test_no_texts_have_no_hashes() -> None:
    assert hash_ids(pa.array([], pa.large_string())).to_pylist() == []


NO_TEXT = [pa.int64(), pa.float64(), pa.bool_(), pa.date32(), pa.binary(4), pa.uuid(), pa.list_(pa.string())]
NO_NUMBER = [pa.string(), pa.bool_(), pa.binary(), pa.timestamp("s"), pa.list_(pa.float64())]
NO_ID = [pa.list_(pa.int64()), pa.struct({"a": pa.int64()}), pa.map_(pa.string(), pa.string())]


@pytest.mark.parametrize(
    "name, kind, wanted",
    [
        *(("doc", kind, "a text") for kind in NO_TEXT),
        *(("score", kind, "a number") for kind in NO_NUMBER),
        *(("query_id", kind, "an id") for kind in NO_ID),
        ("doc_id", pa.fixed_shape_tensor(pa.int64(), [2]), "an id"),
        ("title", pa.int64(), "a text"),
        ("doc", pa.dictionary(pa.int32(), pa.int64()), "a text"),
        ("score", pa.dictionary(pa.int32(), pa.string()), "a number"),
    ],
    ids=str,
)
def test_a_type_that_cannot_be_used_is_named(name: str, kind: pa.DataType, wanted: str) -> None:
    with pytest.raises(UsageError) as error:
        check_schema("a.parquet", pa.schema({"mine": kind}), {name: "mine"})
    assert str(error.value) == f"a.parquet: column 'mine' (input.columns.{name}) is {kind}, not {wanted}"


def test_a_missing_column_is_named_with_those_that_are_there() -> None:
    with pytest.raises(UsageError) as error:
        check_schema("a.parquet", pa.schema({"query": pa.string(), "text": pa.string()}), {"doc": "doc"})
    assert str(error.value) == "a.parquet: has no column 'doc' (input.columns.doc); it has query, text"


def test_a_column_that_is_there_twice_is_refused() -> None:
    schema = pa.schema([("doc", pa.string()), ("doc", pa.string())])
    with pytest.raises(UsageError, match="has 2 columns named 'doc'"):
        check_schema("a.parquet", schema, {"doc": "doc"})


ALL = pa.schema({name: pa.string() for name in ("query_id", "query", "doc_id", "doc", "score", "title", "url")})
BARE = pa.schema({name: pa.string() for name in ("query", "doc", "score")})


def test_columns_in_use_by_their_own_names(make_config: Callable[..., Config]) -> None:
    config = make_config("pairs.parquet")
    assert [*select_columns(config, ALL)] == [
        "query_id",
        "query",
        "doc_id",
        "doc",
        "score",
    ]  # a title only where mapped
    assert [*select_columns(config, BARE)] == ["query", "doc", "score"]


def test_columns_in_use_by_the_configs_names(make_config: Callable[..., Config]) -> None:
    columns = {"doc": "text", "doc_id": "url", "title": "heading"}
    config = make_config("pairs.parquet", input={"columns": columns})
    expected = {"query": "query", "doc_id": "url", "doc": "text", "score": "score", "title": "heading"}
    assert select_columns(config, BARE) == expected  # whether they are there is for check_schema to say
