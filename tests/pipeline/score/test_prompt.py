"""A unit goes to the actor as one row, and comes out of it with the token ids of each pair that can be scored."""

import hashlib
from typing import Any

import pyarrow as pa
import pytest

from actors.rerankers import RERANKERS
from actors.rerankers.bi_encoder import BiEncoder
from actors.rerankers.contract import Pair, Prompt, Request, Reranker, Unscored
from actors.rerankers.settings import Settings
from actors.rerankers.tokenizer import Tokenizer
from pipeline.input.listing import InputFile
from pipeline.input.pairs import hash_texts
from pipeline.plan.units import Unit, Version
from pipeline.score.prompt import TRAVELS, PromptedUnit, pack_unit, prompt_unit, unpack_unit

CLS, SEP = 101, 102  # as in every BERT vocabulary: hello 7592, world 2088, what 2054, is 2003, this 2023
WORLD, HELLO = [CLS, 2088, SEP], [CLS, 7592, SEP]
FILE = InputFile("s3://bucket/ä.parquet", 2**40, "etag-1")
TEXTS = pa.schema([("query", pa.large_string()), ("doc", pa.large_string())])
SCHEMA = pa.schema(
    [
        ("row", pa.int64()),
        ("query_id", pa.string()),
        ("doc_id", pa.string()),
        *TEXTS,
        ("first_stage_score", pa.float64()),
        ("kind", pa.string()),
        ("reason", pa.string()),
    ]
)


@pytest.fixture(scope="module")
def tokenizer(minilm: str) -> Tokenizer:
    return Tokenizer(BiEncoder(type="bi_encoder", model=minilm), limit=256)


def unit(*rows: tuple[str | None, str | None, str]) -> pa.Table:
    """A unit as it comes from reading, of (query, doc, kind)."""
    lines = [
        {
            "row": 40 + i,
            "query_id": f"q{i}",
            "doc_id": f"d{i}",
            "query": query,
            "doc": doc,
            "first_stage_score": i / 2,
            "kind": kind,
            "reason": None if kind == "ok" else "why not",
        }
        for i, (query, doc, kind) in enumerate(rows)
    ]
    return pa.Table.from_pylist(lines, SCHEMA)


def token_ids(made: PromptedUnit) -> list[list[list[int]]]:
    return [[tokens.tolist() for tokens in prompt.sequences] for prompt in made.prompts]


def stand_in(monkeypatch: pytest.MonkeyPatch, prompts: list[Prompt | Unscored]) -> tuple[Settings, list[Pair]]:
    """A reranker that gives these prompts to whatever it is asked, and the pairs that it was asked about."""
    asked: list[Pair] = []

    def prompt(tokenizer: Tokenizer, settings: Settings, pairs: list[Pair]) -> list[Prompt | Unscored]:
        asked.extend(pairs)
        return prompts

    reranker = Reranker(Settings, lambda _: Request("embed"), lambda _: "query", 8192, prompt, lambda *unused: 0.0)
    monkeypatch.setitem(RERANKERS, "stand_in", reranker)
    return Settings(type="stand_in", model="none"), asked


def test_a_real_tokenizers_ids_come_back_for_each_pair(tokenizer: Tokenizer) -> None:
    settings = BiEncoder(type="bi_encoder", model="minilm")
    rows = unit(("hello", "world", "ok"), ("what is this", "hello", "ok"))
    made = unpack_unit(prompt_unit("u", FILE, rows, tokenizer, settings))
    assert made.name == "u"
    assert token_ids(made) == [[HELLO, WORLD], [[CLS, 2054, 2003, 2023, SEP], HELLO]]
    assert made.rows is not None
    assert made.rows["truncated"].to_pylist().count(True) == 0


def test_rows_travel_without_their_texts(tokenizer: Tokenizer) -> None:
    settings = BiEncoder(type="bi_encoder", model="minilm")
    rows = unit(("hello", "world", "ok"), ("hello", "", "permanent"))
    made = unpack_unit(prompt_unit("u", FILE, rows, tokenizer, settings))
    assert made.rows is not None
    assert made.rows.column_names == list(TRAVELS)
    assert made.rows.schema.metadata is None
    travels = [name for name in TRAVELS if name not in ("texts", "query_text", "truncated")]
    assert made.rows.select(travels).to_pylist() == rows.select(travels).to_pylist()
    assert made.rows["texts"].equals(pa.chunked_array([hash_texts(rows)]))
    hello = int.from_bytes(hashlib.blake2b(b"5:hello", digest_size=16).digest()[:8])
    assert made.rows["query_text"].to_pylist() == [hello, hello]
    assert made.file == FILE


def test_only_pairs_that_are_ok_get_prompts(tokenizer: Tokenizer) -> None:
    settings = BiEncoder(type="bi_encoder", model="minilm")
    rows = unit(
        (None, "world", "permanent"),
        ("hello", "hello", "ok"),
        ("hello", None, "reject"),
        ("hello", "world", "ok"),
        ("", "", "reject"),
    )
    made = unpack_unit(prompt_unit("u", FILE, rows, tokenizer, settings))
    assert token_ids(made) == [[HELLO, HELLO], [HELLO, WORLD]]
    assert made.rows is not None and made.rows["kind"].to_pylist() == ["permanent", "ok", "reject", "ok", "reject"]


def test_pairs_that_lost_text_are_counted_once_each(tokenizer: Tokenizer) -> None:
    settings = BiEncoder(type="bi_encoder", model="minilm", max_query_tokens=3, max_doc_tokens=3)
    rows = unit(("hello", "world", "ok"), ("hello world", "world", "ok"), ("hello world", "world hello", "ok"))
    made = unpack_unit(prompt_unit("u", FILE, rows, tokenizer, settings))
    assert token_ids(made) == [[HELLO, WORLD]] * 3
    assert made.rows is not None
    assert made.rows["truncated"].to_pylist().count(True) == 2


@pytest.mark.parametrize("rows", [(), [(None, None, "reject"), ("", "", "permanent")]], ids=["no rows", "none ok"])
def test_a_unit_of_nothing_to_score(tokenizer: Tokenizer, rows: list[Any]) -> None:
    settings = BiEncoder(type="bi_encoder", model="minilm")
    made = unpack_unit(prompt_unit("u", FILE, unit(*rows), tokenizer, settings))
    assert made.rows is not None
    assert (len(made.rows), made.prompts) == (len(rows), [])
    assert made.rows.column_names == [*TRAVELS]


def test_a_pair_that_can_have_no_prompt_says_why(tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    cut = Prompt([[3, 4], [], [5]], truncated=True)
    settings, _ = stand_in(monkeypatch, [Prompt([[1]]), Unscored("prompt cannot fit"), cut])
    rows = unit(("a", "b", "ok"), ("a", "", "permanent"), ("a", "c", "ok"), ("a", "d", "ok"))
    made = unpack_unit(prompt_unit("u", FILE, rows, tokenizer, settings))
    assert made.rows is not None
    assert list(zip(*made.rows.select(["row", "kind", "reason"]).to_pydict().values(), strict=True)) == [
        (40, "ok", None),
        (41, "permanent", "why not"),
        (42, "permanent", "prompt cannot fit"),
        (43, "ok", None),
    ]
    assert token_ids(made) == [[[1]], [[3, 4], [], [5]]]
    assert made.rows is not None
    assert made.rows["truncated"].to_pylist().count(True) == 1


@pytest.mark.parametrize("prompts", [[], [Prompt([[1]])], [Prompt([[1]])] * 3], ids=len)
def test_another_number_of_prompts_than_pairs_is_an_error(
    tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch, prompts: list[Prompt | Unscored]
) -> None:
    settings, _ = stand_in(monkeypatch, prompts)
    with pytest.raises(ValueError, match="zip"):
        prompt_unit("u", FILE, unit(("a", "b", "ok"), ("c", "d", "ok")), tokenizer, settings)


def test_a_reranker_is_given_title_and_instruction_where_they_are_read(
    tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, asked = stand_in(monkeypatch, [Prompt([[1]])])
    rows = unit(("a", "b", "ok"))
    prompt_unit("u", FILE, rows, tokenizer, settings)
    prompt_unit("u", FILE, rows.append_column("instruction", pa.array(["Find it."])), tokenizer, settings)
    prompt_unit("u", FILE, rows.append_column("title", pa.array([None], pa.string())), tokenizer, settings)
    prompt_unit("u", FILE, rows.append_column("title", pa.array(["T"])), tokenizer, settings)
    assert asked == [Pair("a", "b"), Pair("a", "b", "Find it."), Pair("a", "b"), Pair("a", "T b", title_end=2)]


def test_a_unit_is_one_row_of_two_columns_whatever_it_holds(
    tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, _ = stand_in(monkeypatch, [Prompt([[1]])] * 3)
    travels = prompt_unit("u", FILE, unit(*[("a", "b", "ok")] * 3), tokenizer, settings)
    done = pack_unit("u")
    assert travels.schema == done.schema == pa.schema([("unit", pa.string()), ("payload", pa.large_binary())])
    assert (len(travels), len(done)) == (1, 1)


def test_units_survive_being_merged_and_cut(tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The ways in which Ray Data may change blocks."""
    blocks = []
    for number, name in enumerate(["first", "second", "third"]):
        settings, _ = stand_in(monkeypatch, [Prompt([[number, 7]])])
        blocks.append(prompt_unit(name, FILE, unit(("a", "b", "ok")), tokenizer, settings))
    merged = pa.concat_tables([*blocks, pack_unit("done")]).combine_chunks()
    units = [unpack_unit(merged.slice(at, 1)) for at in range(4)]
    assert [made.name for made in units] == ["first", "second", "third", "done"]
    assert [token_ids(made) for made in units] == [[[[0, 7]]], [[[1, 7]]], [[[2, 7]]], []]


def test_a_unit_that_is_done_travels_without_rows() -> None:
    assert unpack_unit(pack_unit("u")) == PromptedUnit("u", None, None, [], [])


@pytest.mark.parametrize("retry", [0, 1, 12])
def test_a_unit_is_tried_again_where_its_name_says_so(retry: int) -> None:
    name = Unit(Version("0" * 16, "1" * 16), 100, 5, 50, retry).name
    assert unpack_unit(pack_unit(name)).again == (retry > 0)
