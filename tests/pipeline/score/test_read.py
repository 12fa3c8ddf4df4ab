"""Real Parquet files come out as units of whole, consecutive rows, and what is wrong with a row stands beside it."""

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from pipeline.config import Config
from pipeline.errors import UsageError
from pipeline.input.parquet import SPLIT_BYTES
from pipeline.plan.units import Unit
from pipeline.score.read import read_units
from pipeline.sizes import Sizes
from tests.pipeline.kinds import DUPLICATE, KINDS, SCORED, list_files, write
from tests.pipeline.plan.cut import cut_input

WritePairs = Callable[..., str]
MakeConfig = Callable[..., Config]
Read = Callable[..., list[tuple[Unit, pa.Table]]]


@pytest.fixture
def read(make_config: MakeConfig) -> Read:
    """Reads all units of a file, or several."""

    def read(
        paths: str | list[str], unit_rows: int = 10_000, split_bytes: int = SPLIT_BYTES, **columns: str
    ) -> list[tuple[Unit, pa.Table]]:
        config = make_config(
            paths, input={"columns": columns}, reranker={"type": "qwen3"}, run={"unit_rows": unit_rows}
        )
        splits, first = cut_input(config, Sizes(split_bytes=split_bytes))
        return [unit for split in splits for unit in read_units(split, first.columns)]

    return read


def pairs(**columns: list[Any]) -> dict[str, list[Any]]:
    """Columns of sound pairs, as many as the given columns have rows; the given ones replace theirs."""
    rows = range(len(next(iter(columns.values()))))
    sound: dict[str, list[Any]] = {
        "query_id": [f"q{i}" for i in rows],
        "query": [f"query {i}" for i in rows],
        "doc_id": [f"d{i}" for i in rows],
        "doc": [f"document {i}" for i in rows],
        "score": [float(i) for i in rows],
    }
    return sound | columns


def verdicts(units: list[tuple[Unit, pa.Table]]) -> list[tuple[str, str | None]]:
    return [(row["kind"], row["reason"]) for _, table in units for row in table.to_pylist()]


OK = ("ok", None)


def test_rows_of_every_kind_are_judged_as_the_table_says(read: Read, tmp_path: Path) -> None:
    """tests/pipeline/kinds.py. Prompts that do not fit, and duplicates, are found later."""
    judged: dict[str, tuple[str, str | None]] = {}
    for file, (names, rows) in list_files().items():
        path = write(tmp_path / file, rows, **KINDS[names[0]].write)
        judged |= dict(zip(names, verdicts(read(str(path), title="title")), strict=True))
    for name, kind in KINDS.items():
        fate, _, reason = kind.becomes.partition(": ")
        if fate == SCORED or kind.becomes == DUPLICATE or reason.startswith("prompt does not fit"):
            assert judged[name] == OK, name
        else:
            assert judged[name] == ({"reject": "reject", "no score": "permanent"}[fate], reason), name


def test_an_instruction_that_is_not_utf8_gets_no_score(write_pairs: WritePairs, read: Read) -> None:
    path = write_pairs(**pairs(task=[b"find", b"\xff"]))
    assert verdicts(read(path, instruction="task")) == [OK, ("permanent", "instruction is not valid UTF-8")]


def test_a_sound_row_comes_through_as_it_is(write_pairs: WritePairs, read: Read) -> None:
    path = write_pairs(query_id=[7], query=["a  query "], doc_id=["d"], doc=[" a\ndocument"], score=[3])
    ((_, table),) = read(path)
    assert table.to_pylist() == [
        {
            "row": 0,
            "query_id": "7",
            "doc_id": "d",
            "query": "a  query ",
            "doc": " a\ndocument",
            "first_stage_score": 3.0,
            "kind": "ok",
            "reason": None,
        }
    ]


def blake2b(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def test_without_id_columns_the_ids_are_hashes_of_the_texts(write_pairs: WritePairs, read: Read) -> None:
    path = write_pairs(query=["q", "q"], doc=["a", ""], score=[1.0, 2.0])
    ((_, table),) = read(path)
    assert table["query_id"].to_pylist() == [blake2b("q"), blake2b("q")]
    assert table["doc_id"].to_pylist() == [blake2b("a"), blake2b("")]
    assert table["kind"].to_pylist() == ["ok", "permanent"]


def test_without_an_id_column_a_pair_without_that_text_is_a_reject(write_pairs: WritePairs, read: Read) -> None:
    path = write_pairs(query=[b"q", None, b"\xff", b"q"], doc=[b"a", b"b", b"c", None], score=[1.0] * 4)
    assert verdicts(read(path)) == [
        OK,
        ("reject", "no query_id: query is null"),
        ("reject", "no query_id: query is not valid UTF-8"),
        ("reject", "no doc_id: document is null"),
    ]


def test_one_id_column_of_two_is_used(write_pairs: WritePairs, read: Read) -> None:
    path = write_pairs(query=["q"], doc_id=["d"], doc=["a"], score=[1.0])
    ((_, table),) = read(path)
    assert (table["query_id"].to_pylist(), table["doc_id"].to_pylist()) == ([blake2b("q")], ["d"])


def test_columns_not_in_use_are_left_out(write_pairs: WritePairs, read: Read) -> None:
    plain, nested = ["x", "y"], [{"doc": ["text"]}, None]
    path = write_pairs(title=plain, extra=nested, **pairs(query=["a", "b"]), row=[90, 91], kind=["reject", "reject"])
    ((_, table),) = read(path)
    names = ["row", "query_id", "doc_id", "query", "doc", "first_stage_score", "kind", "reason"]
    assert table.column_names == names
    assert (table["row"].to_pylist(), table["kind"].to_pylist()) == ([0, 1], ["ok", "ok"])


def test_mapped_columns_are_read_under_their_logical_names(write_pairs: WritePairs, read: Read) -> None:
    path = write_pairs(question=["q"], body=["d"], bm25=[1.0], heading=[None], task=["Find it."])
    ((_, table),) = read(path, query="question", doc="body", score="bm25", title="heading", instruction="task")
    names = ["query", "doc", "title", "instruction", "first_stage_score", "kind"]
    assert [*table.select(names).to_pylist()[0].values()] == ["q", "d", None, "Find it.", 1.0, "ok"]


def test_one_column_may_serve_twice(write_pairs: WritePairs, read: Read) -> None:
    path = write_pairs(query=["q"], text=["d"], score=[1.0])
    ((_, table),) = read(path, doc="text", doc_id="text")
    assert (table["doc"].to_pylist(), table["doc_id"].to_pylist()) == (["d"], ["d"])


@pytest.mark.parametrize("unit_rows", [1, 3, 7, 10_000])
@pytest.mark.parametrize("row_group_size", [1, 4, 9, 1000])
@pytest.mark.parametrize("batch_rows", [2, 5, 8192])
def test_units_hold_every_row_once_and_in_order(
    write_pairs: WritePairs,
    read: Read,
    monkeypatch: pytest.MonkeyPatch,
    unit_rows: int,
    row_group_size: int,
    batch_rows: int,
) -> None:
    monkeypatch.setattr("pipeline.score.read.BATCH_ROWS", batch_rows)
    docs = [f"document {i}" if i % 3 else None for i in range(20)]
    path = write_pairs(row_group_size=row_group_size, **pairs(doc=docs))
    units = read(path, unit_rows)
    assert [len(table) for _, table in units] == [min(unit_rows, 20 - at) for at in range(0, 20, unit_rows)]
    assert [(unit.first, unit.stop) for unit, _ in units] == [
        (at, min(at + unit_rows, 20)) for at in range(0, 20, unit_rows)
    ]
    everything = pa.concat_tables([table for _, table in units])
    assert everything["row"].to_pylist() == list(range(20))
    assert everything["doc_id"].to_pylist() == [f"d{i}" for i in range(20)]
    assert everything["doc"].to_pylist() == docs
    assert everything["first_stage_score"].to_pylist() == [float(i) for i in range(20)]


def test_splits_of_one_file_go_on_with_its_row_numbers(write_pairs: WritePairs, read: Read) -> None:
    path = write_pairs(row_group_size=4, **pairs(doc=[f"document {i}" for i in range(10)]))
    units = read(path, unit_rows=3, split_bytes=1)  # a split for each row group
    assert [(unit.first, unit.stop) for unit, _ in units] == [(0, 3), (3, 4), (4, 7), (7, 8), (8, 10)]
    assert [table["row"].to_pylist() for _, table in units] == [[0, 1, 2], [3], [4, 5, 6], [7], [8, 9]]
    assert [table["doc_id"].to_pylist() for _, table in units] == [
        ["d0", "d1", "d2"],
        ["d3"],
        ["d4", "d5", "d6"],
        ["d7"],
        ["d8", "d9"],
    ]


def test_a_unit_is_one_chunk_in_memory_of_its_own(write_pairs: WritePairs, read: Read) -> None:
    path = write_pairs(row_group_size=2, **pairs(doc=["text"] * 7))
    for _, table in read(path, unit_rows=3):
        assert all(column.num_chunks == 1 for column in table.columns)


# first and stop of units, of which some have others between their rows
GAPS = [
    [(0, 3), (17, 20)],
    [(1, 2), (4, 6), (6, 7), (12, 19)],
    [(3, 15), (5, 6), (5, 12), (14, 18)],
    [(2, 20), (2, 3), (19, 20)],
    [(0, 20), (9, 10), (10, 11)],
]


@pytest.mark.parametrize("bounds", GAPS, ids=str)
@pytest.mark.parametrize("batch_rows", [1, 3, 5, 8192])
def test_units_may_leave_rows_out_and_have_rows_of_each_other(
    bounds: list[tuple[int, int]],
    batch_rows: int,
    write_pairs: WritePairs,
    make_config: MakeConfig,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("pipeline.score.read.BATCH_ROWS", batch_rows)
    path = write_pairs(row_group_size=5, **pairs(doc=[f"document {i}" for i in range(20)]))
    (split,), first_file = cut_input(make_config(path))
    units = [Unit(split.units[0].of, 20, first, stop) for first, stop in bounds]
    read = [*read_units(replace(split, units=units), first_file.columns)]
    assert [unit for unit, _ in read] == units
    for unit, table in read:
        assert table["row"].to_pylist() == [*range(unit.first, unit.stop)]
        assert table["doc_id"].to_pylist() == [f"d{i}" for i in range(unit.first, unit.stop)]


def test_a_file_that_ends_before_its_units_has_changed(write_pairs: WritePairs, make_config: MakeConfig) -> None:
    path = write_pairs(**pairs(doc=["text"] * 20))
    (split,), first_file = cut_input(make_config(path))
    units = [Unit(split.units[0].of, 30, 0, 20), Unit(split.units[0].of, 30, 20, 30)]
    with pytest.raises(UsageError, match=r"pairs\.parquet: ended at row 20, and its footer said 30 or more"):
        list(read_units(replace(split, units=units), first_file.columns))


def test_a_file_without_rows_has_a_unit_without_rows(write_pairs: WritePairs, read: Read) -> None:
    nothing = {name: pa.array([], pa.string()) for name in ("query", "doc")} | {"score": pa.array([], pa.float64())}
    empty = write_pairs("a.parquet", **nothing)
    full = write_pairs("b.parquet", query=["q"], doc=["d"], score=[1.0])
    (none, nobody), (one, somebody), _ = read([empty, full, write_pairs("c.parquet", **nothing)])
    assert (none.size, one.size, somebody["doc"].to_pylist()) == (0, 1, ["d"])
    assert len(nobody) == 0 and nobody.column_names == somebody.column_names


def test_columns_of_other_types_in_the_next_file(write_pairs: WritePairs, read: Read) -> None:
    strings = write_pairs("a.parquet", **pairs(doc_id=["1"], score=[1.5]))
    numbers = write_pairs("b.parquet", **pairs(doc_id=[1], score=[2]))
    first, second = (table for _, table in read([strings, numbers]))
    assert first.schema == second.schema
    assert (second["doc_id"].to_pylist(), second["first_stage_score"].to_pylist()) == (["1"], [2.0])
