"""Rows become the pairs that a reranker scores, and each row's texts have a hash of their own."""

import hashlib
from itertools import combinations
from typing import Any

import pyarrow as pa
import pytest

from actors.rerankers.bi_encoder import BiEncoder
from actors.rerankers.contract import Pair
from actors.rerankers.qwen3 import Qwen3
from pipeline.input.pairs import hash_queries, hash_texts, make_pairs

NAMES = ("query", "doc", "title", "instruction")


def make_rows(*rows: tuple[str | None, ...], names: tuple[str, ...] = NAMES) -> pa.Table:
    columns = {name: pa.array([row[i] for row in rows], pa.large_string()) for i, name in enumerate(names)}
    return pa.table(columns | {"row": range(len(rows))})


def test_titles_and_instructions_go_into_the_pairs_where_they_are_there() -> None:
    rows = make_rows(
        ("q", "d", "t", "find"),
        ("q", "d", None, "find"),
        ("q", "d", "", ""),
        ("q", "d", "t", None),
        ("q", "d", " \n", None),
    )
    made = [
        Pair("q", "t d", "find", title_end=2),
        Pair("q", "d", "find"),
        Pair("q", "d", ""),
        Pair("q", "t d", None, title_end=2),
        Pair("q", "d", None),
    ]
    assert make_pairs(rows, BiEncoder(type="bi_encoder", model="m")) == made
    of_config = Qwen3(type="qwen3", model="m", instruction="of the config")
    assert make_pairs(rows, of_config) == [
        *made[:3],
        Pair("q", "t d", "of the config", title_end=2),
        Pair("q", "d", "of the config"),
    ]
    assert make_pairs(rows.select(["query", "doc"]), of_config) == [Pair("q", "d", "of the config")] * 5


def blake2b(text: str) -> bytes:
    return hashlib.blake2b(text.encode(), digest_size=16).digest()


# query, doc, title, instruction -> what is hashed: each text that is there with its number of characters
HASHED: list[tuple[tuple[str | None, ...], str]] = [
    (("what", "an answer", "a title", "find"), "4:what|9:an answer|7:a title|4:find"),
    (("what", "an answer", None, None), "4:what|9:an answer||"),
    (("what", "", None, ""), "4:what|0:||0:"),
    ((None, None, None, None), "|||"),
    (("Zürich", "日本\n", "\U0001f469", None), "6:Zürich|3:日本\n|1:\U0001f469|"),
]


@pytest.mark.parametrize("texts, hashed", HASHED)
def test_the_hash_of_a_row_is_that_of_its_texts(texts: tuple[str | None, ...], hashed: str) -> None:
    assert hash_texts(make_rows(texts)).to_pylist() == [blake2b(hashed)]


def test_columns_that_are_not_mapped_are_missing_texts() -> None:
    rows = make_rows(("what", "an answer"), names=("query", "doc"))
    found = hash_texts(rows)
    assert found.type == pa.binary(16)
    assert found.equals(hash_texts(make_rows(("what", "an answer", None, None))))
    assert hash_texts(rows.slice(0, 0)).equals(pa.array([], pa.binary(16)))


def test_the_hash_of_what_is_asked_is_that_of_query_and_instruction() -> None:
    rows = make_rows(
        ("what", "a", None, "find"), ("é", "b", None, None), (None, "c", None, "find"), ("what", "d", "", "find")
    )
    asked = [int(blake2b(text).hex()[:16], 16) for text in ("4:what|4:find", "1:é|")]
    assert hash_queries(rows).to_pylist() == [*asked, None, asked[0]]
    alone = hash_queries(rows.drop_columns(["instruction"])).to_pylist()
    assert alone == [int(blake2b(text).hex()[:16], 16) if text else None for text in ("4:what", "1:é", None, "4:what")]
    assert hash_queries(rows.slice(0, 0)).equals(pa.array([], pa.uint64()))


def test_rows_that_differ_in_any_text_have_different_hashes() -> None:
    texts: list[tuple[Any, ...]] = [
        ("a", "b", None, None), ("b", "a", None, None), ("ab", "", None, None), ("", "ab", None, None),
        ("a", None, "b", None), ("a", None, None, "b"), ("a", "b", "", None), ("a", "b", None, ""),
        ("a|1:b", "", None, None), ("a", "b|0:", None, None), ("a", "b||", None, None), ("1:a", "b", None, None),
    ]  # fmt: skip
    hashes = hash_texts(make_rows(*texts)).to_pylist()
    for (one, here), (other, there) in combinations(zip(texts, hashes, strict=True), 2):
        assert here != there, (one, other)
    assert hash_texts(make_rows(*texts[::-1])).to_pylist() == hashes[::-1], "whatever stands beside it"
