"""The tasks of the stream, and the pool of actors that it asks for. The rows that it yields: tests/pipeline/run."""

from collections.abc import Callable
from typing import Any

import pytest

from actors.rerankers.contract import Unscored
from pipeline.check.preflight import Checked, check
from pipeline.cluster.in_process import InProcess
from pipeline.cluster.pool import Pool
from pipeline.config import Config
from pipeline.plan.existing import find_plan
from pipeline.plan.plan import Plan
from pipeline.plan.work import PlannedWork, select_work
from pipeline.score.files import read_score_file
from pipeline.score.prompt import PromptedUnit, unpack_unit
from pipeline.score.stream import UNITS_QUEUED, prompt_task, score_units
from pipeline.score.write import UnitStats, UnitWriter
from pipeline.sizes import Sizes
from tests.fakes import KnownScorer

FIGURES: dict[str, float] = {"prompt_tokens": 0, "cached_tokens": 0, "new_tokens": 0, "seconds": 0.0}
NAMES = ["000000-0000", "000000-0001", "000000-0002"]


@pytest.fixture
def checked(write_pairs: Callable[..., str], make_config: Callable[..., Config]) -> Checked:
    """Five rows in units of two."""
    texts = [f"text {i}" for i in range(5)]
    return check(make_config(write_pairs(query=texts, doc=texts, score=[1.0] * 5), run={"unit_rows": 2}))


@pytest.fixture
def plan(checked: Checked) -> Plan:
    plan = find_plan(checked, [], Sizes())
    assert isinstance(plan, Plan)
    return plan


def prompt(checked: Checked, work: PlannedWork, task: int = 0) -> list[PromptedUnit]:
    limit = checked.tokenizer.limit
    return [unpack_unit(row) for row in prompt_task(task, work, checked.config, limit, checked.scores)]


def count_rows(units: list[PromptedUnit]) -> list[int | None]:
    return [None if unit.rows is None else len(unit.rows) for unit in units]


def put(checked: Checked, unit: PromptedUnit, scores: list[Any]) -> None:
    UnitWriter(checked.scores, "p", explain=False)(unit, scores, [None] * len(scores), FIGURES)


def test_a_task_yields_its_units_with_their_prompts(checked: Checked, plan: Plan) -> None:
    units = prompt(checked, select_work(plan, dict.fromkeys(NAMES, 0), Sizes()))
    assert [unit.name for unit in units] == NAMES
    assert count_rows(units) == [len(unit.prompts) for unit in units] == [2, 2, 1]


def test_a_task_that_runs_again_yields_units_in_the_same_places(checked: Checked, plan: Plan) -> None:
    """Those whose scores were put meanwhile have no rows."""
    work = select_work(plan, dict.fromkeys(NAMES, 0), Sizes())
    before = prompt(checked, work)
    put(checked, before[1], [0.5, 0.5])
    again = prompt(checked, work)
    assert [unit.name for unit in again] == NAMES and count_rows(again) == [2, None, 1]
    for unit in (before[0], before[2]):
        put(checked, unit, [0.5] * len(unit.prompts))
    assert count_rows(prompt(checked, work)) == [None, None, None]


def test_a_later_round_has_the_rows_that_are_worth_another_try(checked: Checked, plan: Plan) -> None:
    first = prompt(checked, select_work(plan, dict.fromkeys(NAMES, 0), Sizes()))
    put(checked, first[1], [0.5, Unscored("killed", transient=True)])
    later = prompt(checked, select_work(plan, {NAMES[0]: 0, NAMES[1]: 1, NAMES[2]: 0}, Sizes()))
    assert [unit.name for unit in later] == [NAMES[0], f"{NAMES[1]}.r1", NAMES[2]]
    assert [unit.again for unit in later] == [False, True, False]
    assert count_rows(later) == [2, 1, 1]
    assert later[1].rows is not None and later[1].rows["row"].to_pylist() == [3]


class Noting(InProcess):
    """This process, which notes the pool that a stream asks for."""

    pool: Pool

    def stream(self, *arguments: Any) -> Any:
        self.pool = arguments[-1]
        return super().stream(*arguments)


def score(checked: Checked, plan: Plan, sizes: Sizes) -> tuple[list[UnitStats], Pool]:
    cluster, work = Noting(), select_work(plan, dict.fromkeys(NAMES, 0), sizes)
    units = list(score_units(checked, work, KnownScorer, cluster, sizes))
    return units, cluster.pool


def test_the_stream_yields_the_figures_of_each_unit_that_it_puts(checked: Checked, plan: Plan) -> None:
    units, pool = score(checked, plan, Sizes())
    figures = [(unit.unit, unit.rows, unit.failed) for unit in units]
    assert figures == [(NAMES[0], 2, 0), (NAMES[1], 2, 0), (NAMES[2], 1, 0)]
    assert [len(read_score_file(checked.scores, name)) for name in NAMES] == [2, 2, 1]
    assert (pool.smallest, pool.largest, pool.queued) == (1, 1, UNITS_QUEUED)


@pytest.mark.parametrize(("rows_in_flight", "units"), [(0, 4), (8, 4), (10, 5), (60, 30), (10_000, 32)])
def test_units_in_flight_are_as_many_as_have_enough_rows(
    checked: Checked, plan: Plan, rows_in_flight: int, units: int
) -> None:
    _, pool = score(checked, plan, Sizes(rows_in_flight=rows_in_flight))
    assert pool.in_flight == units
