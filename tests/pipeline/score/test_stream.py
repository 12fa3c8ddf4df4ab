"""The tasks of the stream, and the pool of actors that it asks for. The rows that it yields: tests/pipeline/run."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from actors.rerankers.contract import Unscored
from pipeline.check.preflight import Checked, check
from pipeline.cluster.contract import Pool
from pipeline.cluster.in_process import InProcess
from pipeline.config import Config
from pipeline.input.footers import read_first_file
from pipeline.plan.units import Coverage, hash_version, parse_unit
from pipeline.plan.work import Work, select_work
from pipeline.score.prompt import PromptedUnit, unpack_unit
from pipeline.score.stream import UNITS_QUEUED, prompt_task, score_units
from pipeline.score.write import UnitStats, UnitWriter
from pipeline.sizes import Sizes
from tests.fakes import KnownScorer

FIGURES: dict[str, float] = {"prompt_tokens": 0, "cached_tokens": 0, "new_tokens": 0, "seconds": 0.0}
KILLED = Unscored("killed", transient=True)


@pytest.fixture
def checked(write_pairs: Callable[..., str], make_config: Callable[..., Config]) -> Checked:
    """Five rows in units of two."""
    texts = [f"text {i}" for i in range(5)]
    path = write_pairs(query=texts, doc=texts, score=[1.0] * 5)
    return check(make_config(path, run={"unit_rows": 2, "retry_failed": True}))


def select(checked: Checked, sizes: Sizes = Sizes()) -> Work:
    first = read_first_file(checked.config, checked.files)
    coverage = Coverage(checked.all_scores.files())
    return select_work(checked.config, first, checked.files, coverage, sizes, checked.config.run.retry_failed)


def prompt(checked: Checked, work: Work) -> list[PromptedUnit]:
    """The units of the first task."""
    tables = prompt_task(0, work, checked.scores, checked.all_scores, Sizes())
    return [unpack_unit(table) for table in tables]


def bounds(units: list[PromptedUnit]) -> list[tuple[int, int, int]]:
    return [(unit.first, unit.stop, unit.retry) for unit in (parse_unit(prompted.name) for prompted in units)]


def rows_of(units: list[PromptedUnit]) -> list[list[int] | None]:
    return [None if unit.rows is None else unit.rows["row"].to_pylist() for unit in units]


def put(checked: Checked, unit: PromptedUnit, scores: list[Any], explain: bool = False) -> None:
    UnitWriter(checked.scores, "p", explain)(unit, scores, [None] * len(scores), FIGURES)


def test_a_task_yields_its_units_with_their_prompts(checked: Checked) -> None:
    units = prompt(checked, select(checked))
    assert bounds(units) == [(0, 2, 0), (2, 4, 0), (4, 5, 0)]
    assert rows_of(units) == [[0, 1], [2, 3], [4]]
    assert [len(unit.prompts) for unit in units] == [2, 2, 1]
    assert {unit.file for unit in units} == {*checked.files}


def test_a_task_that_runs_again_yields_units_in_the_same_places(checked: Checked) -> None:
    """Those whose scores were put meanwhile have no rows."""
    work = select(checked)
    before = prompt(checked, work)
    put(checked, before[1], [0.5, KILLED])
    again = prompt(checked, work)
    assert [unit.name for unit in again] == [unit.name for unit in before]
    assert rows_of(again) == [[0, 1], None, [4]]
    for unit in (before[0], before[2]):
        put(checked, unit, [0.5] * len(unit.prompts))
    assert rows_of(prompt(checked, work)) == [None, None, None]


@pytest.mark.parametrize("explain", [False, True])
def test_a_retry_has_the_rows_that_are_worth_another_try(explain: bool, checked: Checked) -> None:
    first = prompt(checked, select(checked))
    put(checked, first[0], [KILLED, Unscored("too long")], explain)
    put(checked, first[1], [0.5, KILLED], explain)
    work = select(checked)
    second = prompt(checked, work)
    assert bounds(second) == [(0, 1, 1), (3, 4, 1), (4, 5, 0)]
    assert (rows_of(second), [unit.again for unit in second]) == ([[0], [3], [4]], [True, True, False])
    put(checked, second[0], [0.75], explain)
    put(checked, second[1], [KILLED], explain)
    assert rows_of(prompt(checked, work)) == [None, None, [4]], "the same task again"
    put(checked, second[2], [0.5], explain)
    third = prompt(checked, select(checked))
    assert (bounds(third), rows_of(third)) == ([(3, 4, 2)], [[3]])
    put(checked, third[0], [0.25], explain)
    assert prompt(checked, select(checked)) == [], "of several score files of a row the one with a score holds"


def test_a_retry_leaves_out_the_rows_between_its_own(checked: Checked) -> None:
    units = prompt(checked, select(checked))
    settings = {"unit_rows": 10, "retry_failed": True}
    config = checked.config.model_copy(update={"run": checked.config.run.model_copy(update=settings)})
    put(checked, units[0], [0.5, KILLED])
    put(checked, units[2], [KILLED])
    units = prompt(checked, select(replace(checked, config=config)))
    assert bounds(units) == [(1, 5, 1), (2, 4, 0)]
    assert rows_of(units) == [[1, 4], [2, 3]]


class Noting(InProcess):
    """This process, which notes the pool that a stream asks for."""

    pool: Pool

    def stream(self, *arguments: Any) -> Any:
        self.pool = arguments[-1]
        return super().stream(*arguments)


def score(checked: Checked, sizes: Sizes) -> tuple[list[UnitStats], Pool]:
    cluster = Noting()
    units = list(score_units(checked, select(checked, sizes), KnownScorer, cluster, sizes))
    return units, cluster.pool


def test_the_stream_yields_the_figures_of_each_unit_that_it_puts(checked: Checked) -> None:
    units, pool = score(checked, Sizes())
    assert [(unit.rows, unit.failed) for unit in units] == [(2, 0), (2, 0), (1, 0)]
    assert {unit.file for unit in units} == {f"{unit.unit}.parquet" for unit in units} == {*checked.scores.files()}
    assert Coverage(checked.scores.files()).is_complete(hash_version(checked.files[0]))
    assert (pool.smallest, pool.largest, pool.queued) == (1, 1, UNITS_QUEUED)


@pytest.mark.parametrize(("rows_in_flight", "units"), [(0, 4), (8, 4), (10, 5), (60, 30), (10_000, 32)])
def test_units_in_flight_are_as_many_as_have_enough_rows(checked: Checked, rows_in_flight: int, units: int) -> None:
    _, pool = score(checked, Sizes(rows_in_flight=rows_in_flight))
    assert pool.in_flight == units
