"""A unit's name says which rows of which version of which file it has, and names alone say which rows have scores."""

import hashlib
import random
from pathlib import Path

import pytest

from pipeline.input.listing import InputFile
from pipeline.plan.units import (
    Coverage,
    ScoreFile,
    Unit,
    Version,
    find_present,
    hash_version,
    look_up_score_files,
    name_score_file,
    parse_score_file,
    parse_unit,
)
from pipeline.storage.folder import Folder

OF = Version("0123456789abcdef", "fedcba9876543210")
OTHER = Version("0123456789abcdef", "0000000000000000")
START = "0123456789abcdef-fedcba9876543210"

# unit, transient -> name
NAMES = [
    (Unit(OF, 250, 0, 100), False, f"{START}-250-0000000000-0000000100.parquet"),
    (Unit(OF, 250, 200, 250), True, f"{START}-250-0000000200-0000000250.transient.parquet"),
    (Unit(OF, 250, 3, 97, 1), False, f"{START}-250-0000000003-0000000097-1.parquet"),
    (Unit(OF, 250, 3, 97, 12), True, f"{START}-250-0000000003-0000000097-12.transient.parquet"),
    (Unit(OF, 0, 0, 0), False, f"{START}-0-0000000000-0000000000.parquet"),
    (
        Unit(OF, 20_000_000_000, 10_000_000_000, 10_000_000_001),
        False,
        f"{START}-20000000000-10000000000-10000000001.parquet",
    ),
]


@pytest.mark.parametrize("unit, transient, name", NAMES)
def test_a_name_is_made_and_parsed(unit: Unit, transient: bool, name: str) -> None:
    assert name_score_file(unit.name, transient) == name
    assert parse_unit(unit.name) == unit
    assert parse_score_file(name) == ScoreFile(name, unit, transient)
    below = f"0123456789abcdef-vllm-0.32/{name}"
    assert parse_score_file(below) == ScoreFile(below, unit, transient)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "000001-0002.parquet",  # of rayrank 0.1
        f"{START}-250-0000000000-0000000100",
        f"{START}-250-0000000000.parquet",
        f"{START}-250-0000000000-0000000100.parquet.bak",
        f"{START}-250-0000000000-0000000100.transient",
        f"{START}-250-0000000000-0000000100-x.parquet",
        f".put-{START}-250-0000000000-0000000100.parquet",
        f"fingerprint/merged/{START}-250-0000000000-0000000100.parquet",
        f"0123456789ABCDEF-{START[17:]}-250-0000000000-0000000100.parquet",
    ],
)
def test_other_names_are_no_score_files(name: str) -> None:
    assert parse_score_file(name) is None
    assert Coverage([name]).versions() == set()


def test_a_version_is_the_hash_of_a_url_and_that_of_a_size_and_a_version() -> None:
    def digits(text: bytes) -> str:
        return hashlib.sha256(text).hexdigest()[:16]

    file = InputFile("s3://bucket/ä.parquet", 1234, "abc-5")
    assert hash_version(file) == Version(digits("s3://bucket/ä.parquet".encode()), digits(b"1234 abc-5"))


@pytest.mark.parametrize("root", ["local", "s3://bucket/present"])
def test_present_units_are_found_with_or_without_what_may_pass(root: str, tmp_path: Path, s3_server: str) -> None:
    folder = Folder(root if "://" in root else str(tmp_path))
    units = [Unit(OF, 250, first, first + 10).name for first in range(0, 40, 10)]
    retry = Unit(OF, 250, 0, 10, 1).name
    for name in (name_score_file(units[1], False), name_score_file(units[2], True), name_score_file(retry, False)):
        folder.put_new(name, b"x")
    assert find_present(folder, units) == {*units[1:3]}
    assert find_present(folder, [retry]) == {retry}
    assert find_present(folder, units[:1]) == set(), "its retry has other rows"
    found = [name_score_file(units[1], False), name_score_file(units[2], True)]
    assert look_up_score_files(folder, units) == found


# Coverage


def name(first: int, stop: int, rows: int = 100, retry: int = 0, transient: bool = False, of: Version = OF) -> str:
    return f"f/{name_score_file(Unit(of, rows, first, stop, retry).name, transient)}"


# score files -> missing rows of 100
MISSING: list[tuple[list[str], list[range]]] = [
    ([name(0, 100)], []),
    ([name(0, 40), name(40, 100)], []),
    ([name(40, 100)], [range(40)]),
    ([name(10, 20), name(30, 40)], [range(10), range(20, 30), range(40, 100)]),
    # units of different run.unit_rows
    ([name(0, 64), name(50, 100)], []),
    ([name(0, 90), name(10, 20)], [range(90, 100)]),
    ([name(0, 10), name(0, 30), name(20, 40)], [range(40, 100)]),
    # a retry has some rows of its range alone; a unit whose rows may be tried again has scores or reasons all the same
    ([name(0, 50), name(0, 80, retry=1)], [range(50, 100)]),
    ([name(0, 50, transient=True), name(50, 100)], []),
    # another version of the file, or another file
    ([name(0, 50), name(50, 100, of=OTHER)], [range(50, 100)]),
]


@pytest.mark.parametrize("names, missing", MISSING)
def test_missing_rows_are_those_without_a_score_file(names: list[str], missing: list[range]) -> None:
    coverage = Coverage(names[::-1])
    assert coverage.find_missing(OF, 0, 100) == missing
    assert coverage.is_complete(OF) == (not missing)
    assert coverage.count_scored([OF]) == 100 - sum(map(len, missing))


@pytest.mark.parametrize("seed", range(20))
def test_missing_rows_are_those_of_a_set(seed: int) -> None:
    rng, rows = random.Random(seed), 60
    scored, names = set[int](), []
    for _ in range(rng.randrange(8)):
        first = rng.randrange(rows)
        stop, retry = rng.randint(first + 1, min(rows, first + 20)), rng.choice([0, 0, 0, 1])
        names.append(name(first, stop, rows, retry, rng.random() < 0.2))
        scored |= set() if retry else {*range(first, stop)}
    coverage = Coverage(names)
    for begin in range(0, rows, 7):
        for end in range(begin, rows + 1, 5):
            missing = coverage.find_missing(OF, begin, end)
            found = [row for part in missing for row in part]
            assert found == [row for row in range(begin, end) if row not in scored]
            assert all(missing)
    assert coverage.count_scored([OF]) == len(scored)
    assert {file.name for file in coverage.score_files(OF)} == {*names}


def test_a_file_without_rows_is_complete_when_a_score_file_says_so() -> None:
    coverage = Coverage()
    assert (coverage.count_rows(OF), coverage.is_complete(OF)) == (None, False)
    coverage.add([name(0, 0, rows=0)])
    assert (coverage.count_rows(OF), coverage.is_complete(OF), coverage.find_missing(OF, 0, 0)) == (0, True, [])
    assert (coverage.count_rows(OTHER), coverage.is_complete(OTHER)) == (None, False)
    assert coverage.count_scored([OF, OTHER]) == 0


def test_a_name_counts_once_and_files_come_by_their_first_row() -> None:
    names = [name(50, 100), name(0, 60), name(0, 50, transient=True)]
    coverage = Coverage(names)
    coverage.add([*names, name(5, 6, retry=1), name(0, 1, of=OTHER)])
    assert [file.name for file in coverage.score_files(OF)] == [names[2], names[1], name(5, 6, retry=1), names[0]]
    assert coverage.versions() == {OF, OTHER}


# score files -> those that are read for rows to try once more
FAILED: list[tuple[list[str], list[str]]] = [
    ([name(0, 50), name(50, 100)], []),
    ([name(0, 50), name(50, 100, transient=True)], [name(50, 100, transient=True)]),
    # those that overlap may have the scores of these rows
    (
        [name(0, 10), name(10, 20, transient=True), name(12, 18, retry=1), name(15, 30), name(30, 40)],
        [name(10, 20, transient=True), name(12, 18, retry=1), name(15, 30)],
    ),
    # of a retry some may have failed again
    (
        [name(0, 20, transient=True), name(3, 9, retry=1, transient=True), name(20, 30)],
        [name(0, 20, transient=True), name(3, 9, retry=1, transient=True)],
    ),
    ([name(0, 50), name(0, 50, transient=True, of=OTHER)], []),
]


@pytest.mark.parametrize("names, failed", FAILED)
def test_rows_to_try_once_more_are_looked_for_in_these_files(names: list[str], failed: list[str]) -> None:
    assert [file.name for file in Coverage(names).find_failed(OF)] == failed
