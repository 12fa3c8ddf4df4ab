"""Score files with the same rows are merged together, and each row counts once."""

import random
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from pipeline.plan.units import Coverage, ScoreFile
from pipeline.rank.merge import cut_groups
from pipeline.score.files import SCHEMA, StoredScores, encode_scores
from pipeline.sizes import Sizes
from pipeline.storage.folder import Folder
from tests.pipeline.rank.stored import BUCKETS, name, reader, row_of, unit_of

Ranges = list[tuple[int, int]]  # first row and the one after the last, of score files of one input file


@pytest.mark.parametrize(
    ("rows", "sizes", "expected"),
    [
        ([(0, 4), (4, 8), (8, 10), (10, 11)], [1, 1, 1, 1], ["abc", "d"]),
        ([(0, 10), (10, 11), (11, 20), (20, 21)], [1, 1, 1, 1], ["a", "bc", "d"]),
        ([(0, 99), (99, 198)], [1, 1], ["a", "b"]),
        ([(0, 1), (1, 2), (2, 3), (3, 4)], [60, 40, 1, 99], ["ab", "cd"]),
        ([(0, 1), (1, 2), (2, 3)], [500, 1, 1], ["a", "bc"]),
        ([(0, 9), (5, 14), (13, 20), (20, 24)], [1, 1, 1, 1], ["abc", "d"]),
        ([(0, 30), (2, 4), (12, 14), (25, 29), (30, 31)], [1, 1, 1, 1, 1], ["abcd", "e"]),
        ([(0, 9), (9, 40), (10, 12), (20, 21), (38, 45), (45, 50)], [1] * 6, ["a", "bcde", "f"]),
        ([(0, 4), (0, 4)], [90, 90], ["ab"]),
        ([], [], []),
    ],
    ids=[
        "full to the row",
        "one more",
        "units larger than a group",
        "full to the byte",
        "a large file",
        "each overlaps with the next",
        "a large one over small ones with gaps between them",
        "the same behind others",
        "the same rows twice",
        "none",
    ],
)
def test_groups_are_units_in_a_row_up_to_so_many_rows_and_bytes_and_overlapping_ones_stay_together(
    rows: Ranges, sizes: list[int], expected: list[str]
) -> None:
    most = Sizes(merged_rows=10, merged_bytes=100)
    units = [unit_of(0, *bounds) for bounds in rows]
    stored = [
        StoredScores(ScoreFile(letter, unit, False), 0, size)
        for letter, unit, size in zip("abcdef", units, sizes, strict=False)
    ]
    found = [[other.file.name for other in group.stored] for group in cut_groups(stored, BUCKETS, most)]
    assert ["".join(names) for names in found] == expected


def test_the_same_rows_of_different_files_may_be_in_different_groups() -> None:
    stored = [StoredScores(ScoreFile(str(file), unit_of(file, 0, 8), False), file, 1) for file in range(3)]
    assert len(cut_groups(stored, BUCKETS, Sizes(merged_rows=10))) == 3


BETTER_FIRST = ["ok", "reject", "permanent", "transient"]  # a score, reasons that stay, one that may pass


@pytest.mark.parametrize("group_rows", [1, 30, 1000])
@pytest.mark.parametrize("seed", range(12))
def test_a_row_that_several_score_files_have_counts_once(seed: int, group_rows: int, tmp_path: Path) -> None:
    """Score files of two input files as runs with other unit_rows, and further tries, leave them; against a dictionary:
    the better kind stands, and of equal ones that of the smaller name."""
    draw, scores, rows = random.Random(seed), Folder(str(tmp_path)), 60
    expected: dict[tuple[int, int], tuple[tuple[int, str], dict[str, Any]]] = {}
    sizes: dict[str, int] = {}
    for number in range(2):
        for first, stop, retry in draw_ranges(draw, rows):
            has = sorted(draw.sample(range(first, stop), max(1, (stop - first) // 3))) if retry else range(first, stop)
            table = [row_of(number, row) | draw_outcome(draw) for row in has]
            unit = unit_of(number, first, stop, retry)
            file = name(unit, any(row["kind"] == "transient" for row in table))
            data = encode_scores(pa.Table.from_pylist(table, SCHEMA))
            scores.put_new(file, data)
            sizes[file] = len(data)
            for row in table:
                key = BETTER_FIRST.index(row["kind"]), file
                place = (number, row["row"])
                if place not in expected or key < expected[place][0]:
                    expected[place] = key, row
    coverage = Coverage(sizes)
    stored = [
        StoredScores(found, number, sizes[found.name])
        for number in range(2)
        for found in coverage.score_files(unit_of(number, 0, 0).of)
    ]
    read = reader(scores, stored, sizes=Sizes(merged_rows=group_rows))
    found = sorted((row for bucket in range(BUCKETS) for row in read(bucket).to_pylist()), key=place_of)
    assert found == sorted((row for _, row in expected.values()), key=place_of)
    assert sorted(reader(scores, stored, buckets=1)(0).to_pylist(), key=place_of) == found


def draw_ranges(draw: random.Random, rows: int) -> set[tuple[int, int, int]]:
    """First and stop of units that together have all rows, of two or three sizes, and of further tries."""
    found = {(0, rows // 2, 0)} if draw.random() < 0.5 else set()  # one over many
    for size in draw.sample([3, 7, 10, 25], 2):
        cuts = [*range(0, rows, size), rows]
        found |= {(first, stop, 0) for first, stop in pairwise(cuts) if draw.random() < 0.6}
    found |= {(row, row + 5, 0) for row in range(0, rows, 5)}
    tried = draw.sample(sorted(found), 3)
    return found | {(first, stop, draw.randint(1, 2)) for first, stop, _ in tried}


def draw_outcome(draw: random.Random) -> dict[str, Any]:
    kind = draw.choice(BETTER_FIRST)
    if kind == "ok":
        return {"kind": kind, "rerank_score": draw.random(), "reason": None}
    return {"kind": kind, "rerank_score": None, "reason": f"reason {draw.random()}"}


def place_of(row: dict[str, Any]) -> tuple[int, int]:
    return row["file"], row["row"]
