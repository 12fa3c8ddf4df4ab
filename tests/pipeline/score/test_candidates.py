"""Candidates of whole queries: their order, their hashes, and their way to the actor."""

import hashlib
import math
import random
from typing import Any

import pyarrow as pa
import pytest

from actors.rerankers.contract import Pair
from actors.rerankers.listwise import Listwise
from actors.rerankers.tokenizer import Tokenizer
from pipeline.config import Config, parse
from pipeline.input.listing import InputFile
from pipeline.input.pairs import hash_texts
from pipeline.score.candidates import Given, hash_candidates, order_candidates
from pipeline.score.prompt import TRAVELS, PromptedUnit, add_hashes, prompt_unit, unpack_unit

FILE = InputFile("s3://bucket/a.parquet", 2**40, "etag-1")
NAN, INF = math.nan, math.inf
Row = dict[str, Any]
SCHEMA = pa.schema(
    [
        ("row", pa.int64()),
        ("query_id", pa.string()),
        ("query", pa.large_string()),
        ("doc_id", pa.string()),
        ("doc", pa.large_string()),
        ("first_stage_score", pa.float64()),
        ("kind", pa.string()),
        ("reason", pa.string()),
    ]
)


def make_unit(*rows: Row) -> pa.Table:
    """A unit as it comes from reading. Each row has a text of its own, if none is given."""
    lines = [
        {"row": 40 + i, "query_id": "q", "query": "what", "doc_id": f"d{i}", "doc": f"text {i}"}
        | {"first_stage_score": 1.0, "kind": "ok", "reason": None if row.get("kind", "ok") == "ok" else "why not"}
        | row
        for i, row in enumerate(rows)
    ]
    return pa.Table.from_pylist(lines, SCHEMA)


# (query_id, score, doc_id) of each row, lower_is_better -> their order
ORDERS: list[tuple[list[tuple[str | None, float | None, str | None]], bool, list[int]]] = [
    ([("a", 1.0, "x"), ("a", 3.0, "y"), ("a", 2.0, "z")], False, [1, 2, 0]),
    ([("a", 1.0, "x"), ("a", 3.0, "y"), ("a", 2.0, "z")], True, [0, 2, 1]),
    ([("b", 1.0, "x"), ("b", 2.0, "y"), ("a", 9.0, "x"), ("c", 3.0, "x")], False, [1, 0, 2, 3]),
    ([("b", 1.0, "x"), ("a", 9.0, "x"), ("b", 2.0, "y")], False, [2, 0, 1]),
    ([("a", 1.0, "d10"), ("a", 1.0, "d9"), ("a", 1.0, "D9"), ("a", 1.0, "ä"), ("a", 1.0, "d1")], False,
     [2, 4, 0, 1, 3]),
    ([("a", 1.0, "é"), ("a", 1.0, "z"), ("a", 1.0, "\U0001f600"), ("a", 1.0, "\uffee")], True, [1, 0, 3, 2]),
    ([("a", -0.0, "y"), ("a", 0.0, "x"), ("a", 0.0, "z")], False, [1, 0, 2]),
    ([("a", 0.5, "x"), ("a", 0.5, "x"), ("a", 0.5, "w")], False, [2, 0, 1]),
    ([("a", None, "x"), ("a", 1.0, "y"), ("a", -5.0, "z")], False, [1, 2, 0]),
    ([("a", None, "x"), ("a", 1.0, "y"), ("a", -5.0, "z")], True, [2, 1, 0]),
    ([("a", 1.0, None), ("a", 1.0, "y"), ("a", 2.0, "z")], False, [2, 1, 0]),
    ([(None, 1.0, "x"), ("a", 1.0, "x"), (None, 2.0, "y")], False, [2, 0, 1]),
    ([], False, []),
]  # fmt: skip


@pytest.mark.parametrize("rows, lower, expected", ORDERS)
def test_candidates_are_in_the_order_of_the_first_stage(rows: list[Any], lower: bool, expected: list[int]) -> None:
    names = ("query_id", "first_stage_score", "doc_id")
    unit = make_unit(*(dict(zip(names, row, strict=True)) for row in rows))
    assert [row - 40 for row in order_candidates(unit, Given(lower))["row"].to_pylist()] == expected


@pytest.mark.parametrize("lower, expected", [(False, [1, 2, 0, 3]), (True, [0, 3, 1, 2])])
def test_a_stage_before_has_broken_the_ties_of_its_scores(lower: bool, expected: list[int]) -> None:
    names = ("query_id", "first_stage_score", "doc_id")
    rows = [("a", 1.0, "z"), ("a", 2.0, "y"), ("a", 2.0, "x"), ("a", 1.0, "a")]
    unit = make_unit(*(dict(zip(names, row, strict=True)) for row in rows))
    assert [row - 40 for row in order_candidates(unit, Given(lower, "row"))["row"].to_pylist()] == expected


@pytest.mark.parametrize("lower", [False, True])
@pytest.mark.parametrize("odd", [NAN, INF, -INF, None], ids=str)
def test_rejects_are_never_between_candidates_as_they_travel(odd: float | None, lower: bool, tokens: Tokenizer) -> None:
    """A score that is not finite makes a row a reject, wherever it would stand."""
    reject = {"first_stage_score": odd, "kind": "reject"}
    unit = make_unit({"first_stage_score": 1.0}, reject, {"first_stage_score": 2.0}, reject, {"query_id": "p"})
    made = travel(order_candidates(unit, Given(lower)), tokens, Listwise(type="listwise", model="none"))
    docs = [[pair.doc for pair in candidates] for candidates in made.prompts]
    assert docs == [["text 0", "text 2"] if lower else ["text 2", "text 0"], ["text 4"]]


# Hashes


BASE: list[Row] = [
    {"query_id": "a", "query": "x", "first_stage_score": 3.0},
    {"query_id": "a", "query": "x", "first_stage_score": 2.0},
    {"query_id": "a", "query": "x", "first_stage_score": 2.0},
    {"query_id": "b", "query": "y", "first_stage_score": 1.0},
    {"query_id": "a", "query": "x", "first_stage_score": 0.0, "doc": "", "kind": "permanent"},
    {"query_id": "b", "query": "y", "first_stage_score": 2.0},
    {"query_id": "b", "query": "y", "first_stage_score": None, "kind": "reject"},
    {"query_id": "c", "query": "x", "first_stage_score": 1.0},
]
IN_A, IN_B, NOT_OK = {0, 1, 2}, {3, 5}, {4, 6}


def hash_rows(rows: list[Row], lower: bool = False) -> list[bytes]:
    return hash_candidates(make_unit(*rows), Given(lower)).to_pylist()


def change(row: int, **values: Any) -> list[Row]:
    return [*BASE[:row], BASE[row] | values, *BASE[row + 1 :]]


# rows -> those of BASE whose hash is another one
CHANGES: list[tuple[str, list[Row], set[int]]] = [
    ("nothing", BASE, set()),
    ("a document", change(1, doc="other"), IN_A),
    ("a query's text in one row", change(5, query="other"), IN_B),
    ("one more candidate", [*BASE, {"query_id": "b", "query": "y", "first_stage_score": 0.0}], IN_B),
    ("one less", change(3, kind="permanent"), IN_B),
    ("another order", change(0, first_stage_score=1.0), IN_A),
    ("another score in the same order", change(0, first_stage_score=30.0), set()),
    ("another order of equal scores", change(1, doc_id="d9"), IN_A),
    ("other ids in the same order", change(1, doc_id="d11"), set()),
    ("the text of a row that has none", change(4, doc=" "), {4}),
    ("the score of a reject", change(6, first_stage_score=NAN), set()),
    ("one more that is no candidate", [*BASE, {"query_id": "b", "query": "y", "kind": "permanent"}], set()),
]


@pytest.mark.parametrize("rows, others", [case[1:] for case in CHANGES], ids=[case[0] for case in CHANGES])
def test_a_change_makes_other_hashes_of_its_query_alone(rows: list[Row], others: set[int]) -> None:
    found = zip(hash_rows(BASE), hash_rows(rows), strict=False)
    assert {i for i, (before, after) in enumerate(found) if before != after} == others


def test_rows_that_are_no_candidates_have_the_hash_of_their_texts() -> None:
    texts = hash_texts(make_unit(*BASE)).to_pylist()
    assert {i for i, found in enumerate(hash_rows(BASE)) if found == texts[i]} == NOT_OK


@pytest.mark.parametrize("seed", range(5))
def test_hashes_do_not_depend_on_the_order_of_the_rows(seed: int) -> None:
    order = random.Random(seed).sample(range(len(BASE)), len(BASE))
    named = make_unit(*(row | {"doc_id": f"d{i}", "doc": row.get("doc", f"text {i}")} for i, row in enumerate(BASE)))
    expected = hash_candidates(named)
    assert hash_candidates(named.take(order)).to_pylist() == expected.take(pa.array(order)).to_pylist()


def test_distances_make_another_order_and_other_hashes() -> None:
    upwards = [row | {"first_stage_score": -(row["first_stage_score"] or NAN)} for row in BASE]
    assert hash_rows(upwards, lower=True) == hash_rows(BASE)
    differ = {
        i for i, pair in enumerate(zip(hash_rows(BASE), hash_rows(BASE, lower=True), strict=True)) if len({*pair}) > 1
    }
    assert differ == IN_A | IN_B


def test_equal_texts_have_a_hash_for_each_document_and_equal_rows_have_one() -> None:
    """The scores of two documents with the same text may differ: they stand at different places. A row that is equal to
    another one in every column is known by its hash."""
    twice = {"doc": "same", "doc_id": "d"}
    rows = [twice, twice, {"doc": "same", "doc_id": "e"}, {"doc": "other", "doc_id": "f"}]
    hashes = hash_rows(rows)
    assert hashes[0] == hashes[1] and len({*hashes}) == 3


def test_hashes_are_those_of_candidates_for_a_reranker_of_whole_queries() -> None:
    unit = make_unit(*BASE)

    def add(kind: str, lower: bool) -> tuple[list[bytes], list[int]]:
        rows = add_hashes(unit, make_config(kind, lower))
        assert add_hashes(rows, make_config(kind, not lower)) is rows, "they are made once"
        return rows["texts"].to_pylist(), rows["query_text"].to_pylist()

    asks = [int.from_bytes(hashlib.blake2b(b"1:" + text, digest_size=16).digest()[:8]) for text in (b"x", b"y")]
    queries = [asks[row["query"] == "y"] for row in BASE]
    assert add("listwise", False) == (hash_rows(BASE), queries)
    assert add("listwise", True) == (hash_rows(BASE, lower=True), queries)
    assert add("bi_encoder", True) == (hash_texts(unit).to_pylist(), queries)


def make_config(kind: str, lower: bool) -> Config:
    about = {"path": "p", "lower_is_better": lower}
    return parse({"input": about, "reranker": {"type": kind, "model": "none"}, "output": {"path": "o"}})


# The way to the actor


@pytest.fixture(scope="module")
def tokens(minilm: str) -> Tokenizer:
    return Tokenizer(Listwise(type="listwise", model=minilm), limit=256)


def travel(unit: pa.Table, tokenizer: Tokenizer, settings: Listwise) -> PromptedUnit:
    return unpack_unit(prompt_unit("u", FILE, unit, tokenizer, settings))


def test_candidates_travel_as_texts_and_all_rows_without_them(tokens: Tokenizer) -> None:
    settings = Listwise(type="listwise", model="none", max_passage_words=3)
    unit = make_unit(
        {"query_id": "a", "doc": "", "kind": "permanent"},
        {"query_id": "a", "doc": "one two three four"},
        {"query_id": "a", "doc": None, "kind": "reject"},
        {"query_id": "a", "doc": "one  two\nthree [2]", "query": "what [1]"},
        {"query_id": "b", "doc": "x", "kind": "known"},
        {"query_id": "c", "doc": " x ", "query": "who"},
    )
    made = travel(unit, tokens, settings)
    cut = Pair("what", "one two three")
    assert made.prompts == [[cut, Pair("what (1)", "one two three")], [Pair("who", "x")]]
    assert (made.name, made.file, made.passages) == ("u", FILE, [])
    assert made.rows is not None and made.rows.column_names == [*TRAVELS]
    same = [name for name in TRAVELS if name not in ("texts", "query_text", "truncated")]
    assert made.rows.select(same).to_pylist() == unit.select(same).to_pylist()
    assert made.rows["texts"].to_pylist() == hash_texts(unit).to_pylist()
    assert made.rows["truncated"].to_pylist() == [False, True, False, True, False, False]


@pytest.mark.parametrize("rows", [[], [{"kind": "reject"}, {"kind": "permanent"}]], ids=["no rows", "none ok"])
def test_a_unit_of_no_candidates(rows: list[Row], tokens: Tokenizer) -> None:
    made = travel(make_unit(*rows), tokens, Listwise(type="listwise", model="none"))
    assert made.rows is not None
    assert (len(made.rows), made.prompts) == (len(rows), [])


def test_titles_and_instructions_travel(tokens: Tokenizer) -> None:
    settings = Listwise(type="listwise", model="none")
    unit = make_unit({}, {}, {"kind": "reject"}, {})
    unit = unit.append_column("title", pa.array(["T", None, "U", " "]))
    unit = unit.append_column("instruction", pa.array(["Find it.", None, "Lose it.", ""]))
    (candidates,) = travel(unit, tokens, settings).prompts
    assert candidates == [
        Pair("what", "Title: T Content: text 0", "Find it."),
        Pair("what", "text 1", None),
        Pair("what", "text 3", ""),
    ]


def test_a_query_of_each_id_is_one_list(tokens: Tokenizer) -> None:
    """Two queries that ask the same stay two."""
    unit = make_unit(*({"query_id": id} for id in "aabcc"))
    sizes = [len(candidates) for candidates in travel(unit, tokens, Listwise(type="listwise", model="none")).prompts]
    assert sizes == [2, 1, 2]
