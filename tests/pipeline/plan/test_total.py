"""The rows of an input: known from score files, else from footers, which are read beside all else if they are many."""

from collections.abc import Callable
from typing import Any

import pytest

from pipeline.cluster.in_process import InProcess
from pipeline.config import Config
from pipeline.errors import UsageError
from pipeline.input.footers import read_first_file
from pipeline.input.listing import InputFile, list_inputs
from pipeline.plan.total import Total
from pipeline.plan.units import Coverage, Unit, hash_version
from pipeline.plan.work import select_work
from pipeline.sizes import Sizes
from tests.pipeline.plan.cut import write_inputs

ROWS = [3, 50, 0, 7, 1, 4, 2]
MANY = Sizes(first_footers=2, sampled_footers=2)


class Later(InProcess):
    """This process, in which what is started returns when it is let go on, or is waited for."""

    released = False

    def start(self, function: Callable[..., Any], *arguments: Any) -> Any:
        cluster = self

        class Started:
            def is_ready(self) -> bool:
                return cluster.released

            def wait(self) -> Any:
                return function(*arguments)

        return Started()


@pytest.fixture
def files(write_pairs: Any) -> list[InputFile]:
    return write_inputs(write_pairs, ROWS)


@pytest.fixture
def total(files: list[InputFile], make_config: Callable[..., Config]) -> Callable[..., Total]:
    def total(sizes: Sizes, names: list[str] = [], cluster: Any = None) -> Total:
        config, coverage = make_config([file.path for file in files]), Coverage(names)
        work = select_work(config, read_first_file(config, files), files, coverage, sizes)
        made = Total(files, coverage, work, sizes)
        made.begin(cluster or InProcess())
        return made

    return total


def name(file: InputFile, rows: int, first: int, stop: int) -> str:
    return f"f/{Unit(hash_version(file), rows, first, stop).name}.parquet"


def test_few_footers_are_read_at_once(total: Callable[..., Total]) -> None:
    made = total(Sizes(), cluster=object())  # nothing is started
    assert (made.rows, made.scored, made.exact, made.update()) == (67, 0, True, False)
    made.wait()
    assert made.rows == 67


def test_score_files_say_the_rows_of_their_input_files(files: list[InputFile], total: Callable[..., Total]) -> None:
    """As many as they say, even: no footer is read. Those of an earlier version say nothing."""
    earlier = InputFile(files[3].path, files[3].size, "earlier")
    names = [name(files[0], 1000, 0, 10), name(files[0], 1000, 5, 20), name(files[2], 0, 0, 0), name(earlier, 7, 0, 7)]
    made = total(Sizes(), names)
    assert (made.rows, made.scored) == (1000 + 67 - 3, 20)


def test_of_many_footers_a_sample_is_read_first(files: list[InputFile], total: Callable[..., Total]) -> None:
    """Two of six that no score file tells of: every third, by their bytes."""
    cluster = Later()
    made = total(MANY, [name(files[0], 3, 0, 3)], cluster)
    sampled, unknown = [files[1], files[4]], files[1:]
    share = sum(file.size for file in sampled) / sum(file.size for file in unknown)
    assert made.rows == 3 + round((50 + 1) / share) != 67
    assert (made.scored, made.exact, made.update()) == (3, False, False)
    cluster.released = True
    assert (made.update(), made.rows, made.exact, made.update()) == (True, 67, True, False)


def test_waiting_makes_the_number_exact(total: Callable[..., Total]) -> None:
    made = total(MANY, cluster=Later())
    made.wait()
    assert (made.rows, made.exact) == (67, True)


def test_a_file_that_cannot_be_used_is_named_when_its_footer_is_read(
    write_pairs: Any, files: list[InputFile], total: Callable[..., Total]
) -> None:
    write_pairs("in/5.parquet", query=[1], doc=["d"], score=[1.0])
    files[5] = list_inputs([files[5].path])[0]
    with pytest.raises(UsageError, match=r"in/5\.parquet: column 'query'"):
        total(Sizes())
    made = total(MANY, cluster=Later())
    with pytest.raises(UsageError, match=r"in/5\.parquet: column 'query'"):
        made.wait()
