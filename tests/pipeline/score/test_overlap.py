"""Where two score files have the same row, it counts once: the best of what they say of it."""

import random
import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from actors.rerankers.contract import Unscored
from pipeline.errors import RunError
from pipeline.plan.units import Coverage, ScoreFile, Unit, Version
from pipeline.score.files import StoredScores, find_transient_rows, join_overlapping, keep_best, read_scores
from pipeline.storage.folder import Folder
from tests.pipeline.score.units import OF, put_scores

OTHER = Version("1111111111111111", "2222222222222222")
PASSES, STAYS = Unscored("killed", transient=True), Unscored("too long")


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(str(tmp_path))


def read(folder: Folder, stored: list[StoredScores]) -> dict[int, Any]:
    """Row -> score, or reason, in the order in which they come."""
    rows = read_scores(folder, stored, explain=True).to_pylist()
    found = {row["row"]: row["reason"] if row["rerank_score"] is None else row["rerank_score"] for row in rows}
    assert len(found) == len(rows), "each row once"
    return found


# kinds of one row in several files, in their order -> the place of the one that holds
BEST = [
    (["ok"], 0),
    (["ok", "ok"], 0),
    (["transient", "ok"], 1),
    (["permanent", "ok"], 1),
    (["reject", "ok"], 1),
    (["transient", "permanent"], 1),
    (["permanent", "transient", "permanent"], 0),
    (["transient", "transient"], 0),
    (["permanent", "reject"], 1),
    (["transient", "permanent", "ok", "ok", "permanent"], 2),
]


@pytest.mark.parametrize("kinds, best", BEST)
def test_a_score_comes_before_a_reason_and_one_that_stays_before_one_that_may_pass(kinds: list[str], best: int) -> None:
    count = len(kinds)
    rows = pa.table({"file": [3] * count, "row": [7] * count, "kind": kinds, "place": range(count)})
    others = pa.table({"file": [3, 4], "row": [8, 7], "kind": ["ok", "ok"], "place": [100, 101]})
    assert keep_best(pa.concat_tables([rows, others]))["place"].to_pylist() == [best, 100, 101]
    assert keep_best(pa.concat_tables([others, rows]))["place"].to_pylist() == [100, 101, best]


def test_of_no_rows_none_is_kept() -> None:
    rows = pa.table(
        {"file": pa.array([], pa.int32()), "row": pa.array([], pa.int64()), "kind": pa.array([], pa.string())}
    )
    assert keep_best(rows).equals(rows)


def test_files_of_units_of_different_size_have_each_row_once(folder: Folder) -> None:
    stored = [
        put_scores(folder, {row: float(row) for row in range(0, 8)}),
        put_scores(folder, dict.fromkeys(range(5, 9), 0.5)),
    ]
    assert read(folder, stored) == {row: float(row) for row in range(8)} | {8: 0.5}
    assert read(folder, stored[::-1])[6] == 0.5, "of two scores the first one"


@pytest.mark.parametrize("bytes_left", [None, 0, 8, 100])
def test_a_file_that_is_gone_or_cut_short_is_named(folder: Folder, bytes_left: int | None) -> None:
    first, second = put_scores(folder, {0: 0.5}), put_scores(folder, {1: PASSES})
    name = second.file.name
    whole = folder.read(name)
    folder.delete([name])
    if bytes_left is not None:
        folder.put(name, whole[:bytes_left])
    says = "has gone" if bytes_left is None else "is cut short, or no score file"
    with pytest.raises(RunError, match=f"{re.escape(folder.path(name))}: {says}"):
        read(folder, [first, second._replace(size=bytes_left or 0)])
    with pytest.raises(RunError, match=f"{re.escape(folder.path(name))}: {says}"):
        find_transient_rows(folder, [first.file.name, name])


def test_a_retry_counts_for_the_rows_that_it_has(folder: Folder) -> None:
    first = put_scores(folder, {0: 0.5, 1: PASSES, 2: 0.25, 3: PASSES, 4: STAYS})
    retry = put_scores(folder, {1: 0.75, 3: PASSES}, retry=1)
    assert first.file.transient and retry.file.transient
    assert read(folder, [first, retry]) == {0: 0.5, 2: 0.25, 3: "killed", 4: "too long", 1: 0.75}
    names = [first.file.name, retry.file.name]
    assert find_transient_rows(folder, names[:1]) == {1, 3}
    assert find_transient_rows(folder, names) == {3}
    put_scores(folder, {3: STAYS}, retry=2)
    again = Coverage(folder.files()).find_failed(OF)
    assert len(again) == 3 and find_transient_rows(folder, [file.name for file in again]) == set()


def test_the_same_rows_of_different_files_are_different_rows(folder: Folder) -> None:
    stored = [put_scores(folder, {0: 0.5, 1: 0.5}), put_scores(folder, {0: 0.25, 1: STAYS}, of=OTHER, number=1)]
    overlapping = put_scores(folder, {1: 0.75}, of=OTHER, number=1)
    rows = read_scores(folder, [*stored, overlapping], explain=True)
    found = list(zip(rows["file"].to_pylist(), rows["row"].to_pylist(), rows["rerank_score"].to_pylist(), strict=True))
    assert found == [(0, 0, 0.5), (0, 1, 0.5), (1, 0, 0.25), (1, 1, 0.75)]


# units by their rows, or (rows, other version) -> which of them are together
JOINED = [
    ([], []),
    ([(0, 5), (5, 9), (9, 10)], [[0], [1], [2]]),
    ([(0, 5), (4, 9), (9, 10)], [[0, 1], [2]]),
    ([(0, 9), (1, 2), (3, 4), (8, 9), (9, 10)], [[0, 1, 2, 3], [4]]),
    ([(0, 9), (1, 2), (3, 20), (10, 11), (19, 25), (25, 26)], [[0, 1, 2, 3, 4], [5]]),
    ([(0, 0), (0, 0, OTHER)], [[0], [1]]),
    ([(0, 9), (0, 9, OTHER), (5, 9, OTHER), (0, 9)], [[0], [1, 2], [3]]),
]


@pytest.mark.parametrize("units, together", JOINED)
def test_files_with_rows_of_each_other_are_together(units: list[Any], together: list[list[int]]) -> None:
    stored = [
        StoredScores(ScoreFile(str(i), Unit(of[0] if of else OF, 100, first, stop), False), 0, 1)
        for i, (first, stop, *of) in enumerate(units)
    ]
    groups = join_overlapping(stored)
    assert [[int(found.file.name) for found in group] for group in groups] == together


@pytest.mark.parametrize("seed", range(15))
def test_the_rows_are_those_of_a_loop_in_plain_python(seed: int, folder: Folder) -> None:
    """Files of any bounds, in the order in which they are listed: the first of the best holds."""
    rng = random.Random(seed)
    for i in range(rng.randrange(1, 7)):
        first = rng.randrange(30)
        rows = range(first, rng.randint(first, 30) + 1)
        retry = rng.choice([0, 0, 1])
        some = [row for row in rows if not retry or rng.random() < 0.5] or [first]
        put_scores(
            folder,
            {row: rng.choice(list[float | Unscored]([i + row / 100, PASSES, STAYS])) for row in some},
            retry=retry,
            first=first,
            stop=rows.stop,
        )
    files = Coverage(folder.files()).score_files(OF)
    stored = [StoredScores(file, 0, folder.files()[file.name]) for file in files]
    expected: dict[int, dict[str, Any]] = {}
    for found in stored:
        for row in read_scores(folder, [found], explain=True).to_pylist():
            held = expected.get(row["row"])
            order = ["ok", "permanent", "transient"]
            if held is None or order.index(row["kind"]) < order.index(held["kind"]):
                expected[row["row"]] = row
    read_rows = read_scores(folder, stored, explain=True).to_pylist()
    assert {row["row"]: row for row in read_rows} == expected and len(read_rows) == len(expected)
    transient = {number for number, row in expected.items() if row["kind"] == "transient"}
    assert find_transient_rows(folder, [file.name for file in files]) == transient
    of_failed = [file.name for file in Coverage(folder.files()).find_failed(OF)]
    assert find_transient_rows(folder, of_failed) == transient, "the other files have none"
