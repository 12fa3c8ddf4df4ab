"""pipeline/rank/known.py: what is known of pairs by the hash of their texts."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from pipeline.cluster.in_process import InProcess
from pipeline.errors import RunError
from pipeline.input.pairs import hash_queries, hash_texts
from pipeline.plan.reuse import Earlier
from pipeline.plan.units import Unit, Version, name_score_file, parse_score_file
from pipeline.rank.known import KnownScores, find_hashes, find_pieces, prepare_known, split_hashes
from pipeline.score.files import EXPLANATION, SCHEMA, encode_scores
from pipeline.sizes import Sizes
from pipeline.storage.folder import Folder

Row = tuple[str, str, float | None, str, str | None]  # query, doc, score, kind, reason
STORED: list[Row] = [
    ("what", "this", 0.5, "ok", None),
    ("what", "that", None, "permanent", "too odd"),
    ("what", "these", None, "transient", "the worker died"),
    ("what", "twice", None, "permanent", "too odd"),
    ("what", "twice", 0.25, "ok", None),
    ("who", "he", 0.75, "ok", None),
]
FINGERPRINT = f"{0:016x}-vllm-0.32"


def put(folder: Folder, rows: Sequence[Row], number: int, reasons: bool = True) -> Earlier:
    """A score file of an output, of its own input file."""
    texts = pa.table({"query": [row[0] for row in rows], "doc": [row[1] for row in rows]})
    values = [
        {"row": at, "query_id": "q", "doc_id": f"d{at}", "first_stage_score": 1.0, "rerank_score": row[2]}
        | {"kind": row[3], "reason": row[4], "truncated": row[1] == "this", "texts": texts, "query_text": query}
        | {"explanation": f"about {row[1]}"}
        for at, (row, texts, query) in enumerate(
            zip(rows, hash_texts(texts).to_pylist(), hash_queries(texts).to_pylist(), strict=True)
        )
    ]
    unit = Unit(Version(f"{number:016x}", "0" * 16), len(rows), 0, len(rows))
    name = f"{FINGERPRINT}/{name_score_file(unit.name, transient=False)}"
    folder.put_new(name, encode_scores(pa.Table.from_pylist(values, SCHEMA.append(EXPLANATION))))
    file = parse_score_file(name)
    assert file
    return Earlier(folder.url, folder, [file], reasons)


def know(folder: Path, earlier: list[Earlier], known_rows: int = 100, explain: bool = False) -> KnownScores:
    sizes = replace(Sizes(), known_rows=known_rows, merged_rows=2)
    return prepare_known(earlier, Folder(str(folder / "merged")), explain, InProcess(), sizes)


def make_pairs(*pairs: tuple[str, str, str]) -> pa.Table:
    """query, doc, kind."""
    return pa.table(
        {
            "row": pa.array(range(len(pairs)), pa.int64()),
            "query_id": ["another id"] * len(pairs),
            "query": [pair[0] for pair in pairs],
            "doc_id": ["d"] * len(pairs),
            "doc": [pair[1] for pair in pairs],
            "first_stage_score": [1.0] * len(pairs),
            "kind": [pair[2] for pair in pairs],
            "reason": pa.array([None if pair[2] == "ok" else "own" for pair in pairs], pa.string()),
        }
    )


EXPECTED = [
    ("a score", ("what", "this", "ok"), ("known", None, 0.5, True)),
    ("a reason that stays", ("what", "that", "ok"), ("permanent", "too odd", None, False)),
    ("one that may pass", ("what", "these", "ok"), ("ok", None, None, False)),
    ("a score first", ("what", "twice", "ok"), ("known", None, 0.25, False)),
    ("another query", ("who", "he", "ok"), ("known", None, 0.75, False)),
    ("a new document", ("who", "she", "ok"), ("ok", None, None, False)),
    ("a new query text", ("what?", "this", "ok"), ("ok", None, None, False)),
    ("wrong by itself", ("what", "this", "permanent"), ("permanent", "own", None, False)),
]


def look(known: KnownScores, pairs: pa.Table) -> list[tuple[Any, ...]]:
    names = ("kind", "reason", "rerank_score", "truncated")
    return [tuple(row[name] for name in names) for row in known(pairs).to_pylist()]


@pytest.mark.parametrize("known_rows", [100, 3, 1], ids=["one piece", "two", "eight"])
def test_pairs_are_known_by_their_texts(known_rows: int, tmp_path: Path) -> None:
    folder = Folder(str(tmp_path / "scores"))
    known = know(tmp_path, [put(folder, STORED[:4], 0), put(folder, STORED[4:], 1)], known_rows)
    assert len(known.pieces) == {100: 1, 3: 2, 1: 8}[known_rows]
    pairs = make_pairs(*(pair for _, pair, _ in EXPECTED))
    assert look(known, pairs) == [expected for *_, expected in EXPECTED]
    assert known(pairs)["row"].to_pylist() == [*range(len(pairs))], "in their order"
    assert look(known, pairs.slice(3, 2)) == [expected for *_, expected in EXPECTED[3:5]], "of a slice"
    assert len(known(pairs.slice(0, 0))) == 0


def test_reasons_are_taken_only_where_they_are_asked_for(tmp_path: Path) -> None:
    known = know(tmp_path, [put(Folder(str(tmp_path / "scores")), STORED, 0, reasons=False)])
    assert look(known, make_pairs(("what", "that", "ok"), ("what", "twice", "ok"))) == [
        ("ok", None, None, False),
        ("known", None, 0.25, False),
    ]


def test_what_the_model_wrote_is_known_too(tmp_path: Path) -> None:
    known = know(tmp_path, [put(Folder(str(tmp_path / "scores")), STORED, 0)], 3, explain=True)
    found = known(make_pairs(("who", "he", "ok"), ("what", "that", "ok"), ("new", "", "ok")))
    assert found["explanation"].to_pylist() == ["about he", "about that", None]


def test_of_equal_texts_the_score_of_the_first_output_counts(tmp_path: Path) -> None:
    first = put(Folder(str(tmp_path / "first")), [("what", "this", 0.1, "ok", None)], 0)
    second = put(Folder(str(tmp_path / "second")), [("what", "this", 0.2, "ok", None)], 0)
    for name, outputs, expected in (("a", [first, second], 0.1), ("b", [second, first], 0.2)):
        assert look(know(tmp_path / name, outputs), make_pairs(("what", "this", "ok")))[0][2] == expected


@pytest.mark.parametrize("damage", ["cut", "gone"])
def test_an_output_that_cannot_be_read_is_named_and_not_used(
    damage: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good, bad = (put(Folder(str(tmp_path / name)), [("what", name, 0.5, "ok", None)], 0) for name in ("good", "bad"))
    path = tmp_path / "bad" / bad.files[0].name
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:-9])
    else:
        path.unlink()
    known = know(tmp_path, [bad, good])
    assert [row[0] for row in look(known, make_pairs(("what", "good", "ok"), ("what", "bad", "ok")))] == ["known", "ok"]
    said = capsys.readouterr().err
    assert f"{bad.output}: none of its scores are taken over" in said and str(path) in said


def test_all_bits_of_a_hash_count() -> None:
    """Hashes whose first halves are equal, which no 128-bit hash shows in a lifetime, differ in the second."""
    table = pa.table({"high": pa.array([1, 5, 5, 5, 9], pa.uint64()), "low": pa.array([0, 2, 4, 6, 0], pa.uint64())})
    high, low = np.array([5, 5, 5, 5, 9, 1, 10, 0], np.uint64), np.array([6, 2, 3, 4, 1, 0, 0, 0], np.uint64)
    assert find_hashes(table, high, low).tolist() == [3, 1, -1, 2, -1, 0, -1, -1]


def test_hashes_are_split_in_halves_that_sort_alike() -> None:
    hashes = [bytes([number] * 8 + [9 - number] * 8) for number in range(5)]
    for part in (slice(0, 5), slice(1, 3), slice(0, 0)):
        column = pa.chunked_array([pa.array(hashes, pa.binary(16)).slice(part.start, part.stop - part.start)])
        high, low = split_hashes(column)
        assert high.tolist() == [int.from_bytes(one[:8], "big") for one in hashes[part]]
        assert low.tolist() == [int.from_bytes(one[8:], "big") for one in hashes[part]]


@pytest.mark.parametrize("pieces", [1, 2, 8])
def test_pieces_are_ranges_of_hashes(pieces: int) -> None:
    high = np.array([0, 1, 2**61, 2**63 - 1, 2**63, 2**64 - 1], np.uint64)
    assert find_pieces(high, pieces).tolist() == [int(value) * pieces // 2**64 for value in high.tolist()]


def test_a_store_that_fails_later_ends_the_run(tmp_path: Path) -> None:
    """Pieces are read from files of the run itself."""
    earlier = [put(Folder(str(tmp_path / "scores")), STORED, 0)]

    class Losing(InProcess):
        def keep(self, task: Any, items: Any) -> Any:
            for file in (tmp_path / "merged").iterdir():
                file.unlink()
            return super().keep(task, items)

    with pytest.raises(RunError, match="has gone"):
        prepare_known(earlier, Folder(str(tmp_path / "merged")), False, Losing(), Sizes())
