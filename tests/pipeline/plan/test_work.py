"""Every unit to score is in exactly one task; splits without such units are in none."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from pipeline.config import Config
from pipeline.input.listing import list_inputs
from pipeline.plan.plan import Plan, make_plan, split_cuts
from pipeline.plan.work import PlannedWork, group_neighbours, select_work
from pipeline.sizes import Sizes

Make = Callable[..., Config]


@pytest.fixture
def plan(write_pairs: Any, make_config: Make) -> Plan:
    """Seven files, each one split, of 3, 0, 5, 2, 1, 4 and 6 rows, in units of two rows."""
    paths = []
    for i, rows in enumerate((3, 0, 5, 2, 1, 4, 6)):
        texts: list[Any] = [f"text {i}"] * rows
        paths.append(write_pairs(f"in/{i}.parquet", query=texts, doc=texts, score=[1.0] * rows))
    return make_plan(make_config(paths), list_inputs(paths), 2)


def list_tasks(made: PlannedWork) -> list[list[str]]:
    """The units of each task."""
    return [[unit.name for split in made.splits(task) for unit in split.units] for task in range(made.tasks)]


def test_a_split_with_a_missing_unit_is_a_task(plan: Plan) -> None:
    made = select_work(plan, {"000001-0002": 0, "000003-0000": 2, "000005-0001": 0}, Sizes())
    assert list_tasks(made) == [
        ["000001-0000", "000001-0001", "000001-0002"], ["000003-0000"], ["000005-0000", "000005-0001", "000005-0002"]
    ]  # fmt: skip
    assert (made.rows, made.before, made.later) == (21, 21 - 1 - 1 - 2, {"000003-0000": 2})
    assert (made.columns, made.id) == (plan.columns, plan.id)


def test_a_plan_whose_units_are_all_scored_has_no_task(plan: Plan) -> None:
    made = select_work(plan, {}, Sizes())
    assert (made.tasks, made.before) == (0, 21)


@pytest.mark.parametrize("most", [1, 2, 3, 5, 6, 100])
def test_neighbours_share_a_task_where_there_are_many(plan: Plan, most: int) -> None:
    made = select_work(plan, dict.fromkeys(plan.unit_names(), 0), Sizes(tasks=most))
    assert 0 < made.tasks <= most
    assert [name for task in list_tasks(made) for name in task] == plan.unit_names()


def test_splits_that_are_large_together_do_not_share_a_task() -> None:
    sizes = Sizes(tasks=3, task_bytes=100)
    assert group_neighbours([10] * 7, sizes) == [0, 3, 6, 7]
    assert group_neighbours([60, 60, 30, 30, 200, 1, 1], sizes) == [0, 1, 3, 4, 5, 7]
    assert group_neighbours([1, 200], sizes) == [0, 1, 2]
    assert group_neighbours([], sizes) == [0]


def test_splits_begin_where_their_number_changes(plan: Plan) -> None:
    numbers = plan.units["split"].to_pylist()
    expected = [i for i in range(len(numbers)) if i == 0 or numbers[i] != numbers[i - 1]] + [len(numbers)]
    assert split_cuts(plan.units).tolist() == expected
    assert split_cuts(plan.units.slice(0, 0)).tolist() == [0]
    assert np.array_equal(split_cuts(plan.units.slice(1)), np.array([0, *[cut - 1 for cut in expected[1:]]]))
