"""Each file with rows to score is in the work, in parts that together are its bytes; the others are not."""

from collections.abc import Callable
from itertools import groupby
from typing import Any

import pytest

from pipeline.config import Config
from pipeline.input.footers import read_first_file
from pipeline.input.listing import InputFile
from pipeline.plan.units import Coverage, Unit, hash_version, name_score_file
from pipeline.plan.work import FilePart, Work, group_neighbours, select_work
from pipeline.sizes import Sizes
from tests.pipeline.plan.cut import write_inputs

Make = Callable[..., Config]
ROWS = (3, 0, 5, 2, 1, 4, 6)


@pytest.fixture
def files(write_pairs: Any) -> list[InputFile]:
    """Seven files."""
    return write_inputs(write_pairs, ROWS)


@pytest.fixture
def select(files: list[InputFile], make_config: Make) -> Callable[..., Work]:
    """The work for these files. names: of the score files that are there. Other keyword arguments: of `Sizes`."""

    def select(names: list[str] = [], retry_failed: bool = False, **sizes: int) -> Work:
        config = make_config([file.path for file in files])
        return select_work(config, read_first_file(config, files), files, Coverage(names), Sizes(**sizes), retry_failed)

    return select


def name(file: InputFile, rows: int, first: int, stop: int, transient: bool = False) -> str:
    return f"f/{name_score_file(Unit(hash_version(file), rows, first, stop).name, transient)}"


def list_parts(work: Work) -> list[FilePart]:
    return [part for task in range(work.tasks) for part in work.read_parts(task)]


def test_without_scores_all_of_each_file_is_work(files: list[InputFile], select: Callable[..., Work]) -> None:
    expected = [FilePart(number, file, 0, file.size, None, []) for number, file in enumerate(files)]
    assert list_parts(select()) == expected


def test_a_file_is_work_as_long_as_rows_are_missing(files: list[InputFile], select: Callable[..., Work]) -> None:
    """Also one of an earlier version; and a file without rows, until a score file says that it has none."""
    earlier = InputFile(files[6].path, files[6].size, "earlier")
    names = [name(files[0], 3, 0, 3), name(files[1], 0, 0, 0), name(earlier, 6, 0, 6)]
    names += [name(files[2], 5, 2, 4), name(files[3], 2, 0, 1), name(files[3], 2, 1, 2), name(files[5], 4, 0, 4)]
    found = [(part.number, part.missing) for part in list_parts(select(names))]
    assert found == [(2, [range(2), range(4, 5)]), (4, None), (6, None)]


@pytest.mark.parametrize("retry_failed", [False, True])
def test_failed_rows_are_work_where_the_config_says_so(
    retry_failed: bool, files: list[InputFile], select: Callable[..., Work]
) -> None:
    all_scored = [name(file, rows, 0, rows) for file, rows in zip(files, ROWS, strict=True)]
    all_scored[2] = name(files[2], 5, 0, 5, transient=True)
    all_scored[5] = name(files[5], 4, 1, 4, transient=True)
    found = [(part.number, part.missing, part.failed) for part in list_parts(select(all_scored, retry_failed))]
    retried = [(2, [], [all_scored[2]]), (5, [range(1)], [all_scored[5]])]
    assert found == (retried if retry_failed else [(5, [range(1)], [])])


def test_an_input_that_is_scored_has_no_task(files: list[InputFile], select: Callable[..., Work]) -> None:
    names = [name(file, rows, 0, rows) for file, rows in zip(files, ROWS, strict=True)]
    assert (select(names).tasks, list_parts(select(names))) == (0, [])


@pytest.mark.parametrize("part_bytes", [1, 7, 100, 1000, 2**26])
def test_the_parts_of_a_file_are_its_bytes_one_after_the_other(
    part_bytes: int, files: list[InputFile], select: Callable[..., Work]
) -> None:
    parts = list_parts(select(part_bytes=part_bytes))
    for file, of_file in groupby(parts, lambda part: part.file):
        at = 0
        for part in of_file:
            assert part.begin == at and 0 < part.end - part.begin <= part_bytes
            at = part.end
        assert at == file.size
    assert [number for number, _ in groupby(part.number for part in parts)] == [*range(7)]


@pytest.mark.parametrize("most", [1, 2, 3, 5, 6, 100])
def test_neighbours_share_a_task_where_there_are_many(most: int, select: Callable[..., Work]) -> None:
    work = select(tasks=most)
    assert 0 < work.tasks <= most
    assert [part.number for part in list_parts(work)] == [*range(7)]


def test_parts_that_are_large_together_do_not_share_a_task() -> None:
    sizes = Sizes(tasks=3, task_bytes=100)
    assert group_neighbours([10] * 7, sizes) == [0, 3, 6, 7]
    assert group_neighbours([60, 60, 30, 30, 200, 1, 1], sizes) == [0, 1, 3, 4, 5, 7]
    assert group_neighbours([1, 200], sizes) == [0, 1, 2]
    assert group_neighbours([], sizes) == [0]
