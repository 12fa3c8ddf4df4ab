"""A stream, tasks and a tracker in this process, without Ray."""

import inspect
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pytest

from actors.worker.failures import FailureTracker
from pipeline.cluster.contract import Cluster, Pool
from pipeline.cluster.in_process import InProcess
from pipeline.cluster.ray_cluster import RayCluster

POOL = Pool(smallest=1, largest=1, in_flight=1, queued=0, gpus=0, cpus=0)


class Doubler:
    """An actor that doubles numbers; it fails at 99."""

    closed = 0

    def __init__(self, add: int):
        self._add = add

    async def __call__(self, batch: pa.Table) -> pa.Table:
        number = batch["number"][0].as_py()
        if number == 99:
            raise KeyError(number)
        return pa.table({"number": [2 * number + self._add]})

    def close(self) -> None:
        Doubler.closed += 1


@pytest.fixture(autouse=True)
def closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Doubler, "closed", 0)


def make(task: int, shared: list[list[int]]) -> Iterator[pa.Table]:
    for number in shared[task]:
        yield pa.table({"number": [number]})


def stream(tasks: list[list[int]]) -> Any:
    return InProcess().stream(make, tasks, len(tasks), Doubler, {"add": 1}, POOL)


def test_a_stream_yields_a_row_for_each_table_of_each_task() -> None:
    assert list(stream([[1, 2], [], [3]])) == [{"number": 3}, {"number": 5}, {"number": 7}]
    assert Doubler.closed == 1


def test_a_stream_that_fails_or_is_left_closes_its_actor() -> None:
    with pytest.raises(KeyError):
        list(stream([[1, 99]]))
    rows = stream([[1, 2]])
    next(rows)
    assert Doubler.closed == 1
    rows.close()
    assert Doubler.closed == 2


def test_tasks_run_in_order_and_functions_at_once() -> None:
    cluster = InProcess()
    assert list(cluster.run(lambda number: 2 * number, [1, 2])) == [2, 4]
    started = cluster.start(max, 3, 5)
    assert started.is_ready() and started.wait() == 5


@pytest.mark.parametrize("kind", [InProcess, RayCluster])
def test_every_cluster_has_the_methods_of_the_contract(kind: type) -> None:
    def list_parameters(cluster: type) -> dict[str, list[str]]:
        methods = inspect.getmembers(cluster, inspect.isfunction)
        return {name: [*inspect.signature(method).parameters] for name, method in methods if not name.startswith("_")}

    assert list_parameters(kind) == list_parameters(Cluster)


def test_the_tracker_is_the_one_that_actors_call_from_afar() -> None:
    cluster = InProcess()
    with cluster.track_failures(2) as tracker:
        assert isinstance(tracker, FailureTracker)
        tracker.starting(cluster.identify_worker())
    assert cluster.identify_worker() == cluster.identify_worker()
    assert cluster.count_cores() >= 1 and cluster.read_spilled_bytes() is None
