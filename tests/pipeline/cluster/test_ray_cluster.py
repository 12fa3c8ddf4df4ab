"""A stream, tasks and functions on a real Ray."""

import math
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pytest
import ray

from pipeline.cluster import tasks
from pipeline.cluster.contract import Pool
from pipeline.cluster.ray_cluster import RayCluster, run_stream_task
from pipeline.errors import RunError, UsageError

POOL = Pool(smallest=1, largest=2, in_flight=2, queued=1, gpus=0, cpus=0)


class Doubler:
    """An actor that doubles numbers."""

    def __init__(self, add: int):
        self._add = add

    async def __call__(self, batch: pa.Table) -> pa.Table:
        return pa.table({"number": [2 * batch["number"][0].as_py() + self._add]})


def make(task: int, shared: list[list[int]]) -> Iterator[pa.Table]:
    for number in shared[task]:
        if number == 99:
            raise UsageError("pairs.parquet: 99")
        yield pa.table({"number": [number]})


def stream(numbers: list[list[int]]) -> Any:
    return RayCluster().stream(make, numbers, len(numbers), Doubler, {"add": 1}, POOL)


def test_a_stream_yields_a_row_for_each_table_of_each_task(one_ray: None) -> None:
    rows = list(stream([[1, 2], [], [3]]))
    assert sorted(row["number"] for row in rows) == [3, 5, 7]


def test_a_run_error_of_a_task_of_a_stream_is_raised_as_itself(one_ray: None) -> None:
    with pytest.raises(UsageError, match=r"pairs\.parquet: 99"):
        list(stream([[1, 99]]))


class Placed:
    """An actor that tells what Ray set aside for it."""

    async def __call__(self, batch: pa.Table) -> pa.Table:
        return pa.table({"kinds": [[*ray.get_runtime_context().get_assigned_resources()]]})


@pytest.mark.parametrize("kind", [None, "L4"])
def test_an_actor_goes_where_its_kind_of_accelerator_is(one_ray: None, kind: str | None) -> None:
    pool = POOL._replace(accelerator=kind)
    (row,) = RayCluster().stream(make, [[1]], 1, Placed, {}, pool)
    assert row["kinds"] == ([f"accelerator_type:{kind}"] if kind else [])


def add(first: int, second: int) -> int:
    return first + second


def fail(message: str) -> None:
    raise RunError(message)


def test_functions_run_beside_the_driver_and_raise_their_own_errors(one_ray: None) -> None:
    cluster = RayCluster()
    started = cluster.start(add, 3, 5)
    assert started.wait() == 8 and started.is_ready()
    with pytest.raises(RunError, match="cannot be read"):
        cluster.start(fail, "cannot be read").wait()


def test_it_knows_its_cores_and_its_spilled_bytes(one_ray: None) -> None:
    assert RayCluster().count_cores() == 2
    assert RayCluster().read_spilled_bytes() is not None


def test_a_task_of_a_stream_is_watched_from_its_beginning(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading the footers of its files is part of it."""
    watched: list[bool] = []

    def look(task: int, shared: Any) -> Iterator[pa.Table]:
        watched.append(math.isfinite(tasks._watchdog()._deadline))
        yield pa.table({"task": [task]})

    monkeypatch.setattr(ray, "get", lambda handed: handed)
    (table,) = run_stream_task(pa.table({"id": [3]}), look, None)
    assert table["task"].to_pylist() == [3]
    assert watched == [True] and math.isinf(tasks._watchdog()._deadline)


def refuse(item: int) -> int:
    if item == 2:
        raise UsageError("pairs.parquet: 2")
    return item


def test_tasks_return_in_order_and_an_error_of_ours_is_raised_as_itself(one_ray: None) -> None:
    assert [*RayCluster().run(refuse, [3, 1, 0])] == [3, 1, 0]
    with pytest.raises(RunError, match=r"^pairs\.parquet: 2$") as raised:
        list(RayCluster().run(refuse, [1, 2]))
    assert raised.type is UsageError  # and not Ray's, whose message is a traceback
