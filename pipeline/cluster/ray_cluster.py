"""A Ray cluster: tasks on its CPUs, and a stream from tasks through a pool of actors, on Ray Data."""

import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Generic

import pyarrow as pa
import ray
from ray._private.internal_api import get_memory_info_reply, get_state_from_address
from ray.data import ActorPoolStrategy
from ray.exceptions import RayError

from actors.worker.failures import Worker
from pipeline.cluster.contract import Item, Pool, Result
from pipeline.cluster.tasks import RETRIES, raise_own_errors, run_tasks, start_tasks, watch_steps
from pipeline.cluster.tracker import RemoteTracker, identify_worker
from pipeline.errors import read_worker_error

TASK_RETRIES = 10  # of a split whose process died; Ray Data would try for ever
ENDING = 30.0  # seconds that a thread of Ray Data's may take to end


class RayCluster:
    """The cluster that this process is connected to (connect.py), as a Cluster (contract.py)."""

    def run(self, task: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        return run_tasks(task, items)

    def keep(self, task: Callable[[Item], Result], items: Iterable[Item]) -> "list[Started[Result]]":
        return [Started(reference) for reference in start_tasks(task, items)]

    def start(self, function: Callable[..., Result], *arguments: Any) -> "Started[Result]":
        # It takes none of the CPUs that are Ray's to give.
        return Started(ray.remote(num_cpus=0, max_retries=RETRIES)(function).remote(*arguments))

    def stream(
        self,
        make: Callable[[int, Any], Iterator[pa.Table]],
        shared: Any,
        tasks: int,
        actor: type,
        arguments: dict[str, Any],
        pool: Pool,
    ) -> Generator[dict[str, Any], None, None]:
        handed = ray.put(shared)  # its tables are Arrow's: a task maps them and copies nothing
        dataset = ray.data.range(tasks, override_num_blocks=tasks).map_batches(
            partial(run_stream_task, make=make, handed=handed),
            batch_size=1,
            batch_format="pyarrow",
            max_retries=TASK_RETRIES,
        )
        dataset = dataset.map_batches(
            actor,
            batch_size=1,
            batch_format="pyarrow",
            fn_constructor_kwargs=arguments,
            compute=ActorPoolStrategy(
                min_size=pool.smallest,
                max_size=pool.largest,
                max_concurrent_calls_per_actor=pool.in_flight,
                max_tasks_in_flight_per_actor=pool.in_flight + pool.queued,
            ),
            num_gpus=pool.gpus,
            num_cpus=pool.cpus,
            # A little of what Ray gives each node with such an accelerator: what its accelerator_type asks for, too.
            resources={f"accelerator_type:{pool.accelerator}": 0.001} if pool.accelerator else None,
        )
        before = set(threading.enumerate())
        try:
            for bundle in dataset.iter_internal_ref_bundles():  # iter_rows has a thread that goes on when it is left
                for block in bundle.block_refs:
                    yield from ray.get(block).to_pylist()
        except RayError as error:
            raise read_worker_error(error) or error from None
        finally:  # left early, its threads go on for a moment; one that finds Ray shut down ends this process, code 1
            for thread in set(threading.enumerate()) - before:
                thread.join(ENDING)

    @contextmanager
    def track_failures(self, actors: int) -> Iterator[RemoteTracker]:
        tracker = RemoteTracker(actors)
        try:
            yield tracker
        finally:
            ray.kill(tracker.actor)  # Ray was seen to keep it, a process, for as long as the driver lives

    def identify_worker(self) -> Worker:
        return identify_worker()

    def count_cores(self) -> int:
        return max(int(node["Resources"].get("CPU", 1)) for node in ray.nodes() if node["Alive"])

    def read_spilled_bytes(self) -> int | None:
        try:
            state = get_state_from_address(ray.get_runtime_context().gcs_address)
            return int(get_memory_info_reply(state).store_stats.spilled_bytes_total)
        except Exception:  # of many kinds, and a figure is not worth a run
            return None


def run_stream_task(batch: pa.Table, make: Callable[[int, Any], Iterator[pa.Table]], handed: Any) -> Iterator[pa.Table]:
    """The tables of one task, each step under watch."""
    yield from watch_steps(make(batch["id"][0].as_py(), ray.get(handed)))


class Started(Generic[Result]):
    """A function that runs on the cluster."""

    def __init__(self, reference: Any):
        self._reference = reference
        self._value: tuple[Result] | None = None  # once it was got: Ray takes a millisecond for each time

    def __reduce__(self) -> tuple[type, tuple[Any]]:
        return type(self), (self._reference,)

    def is_ready(self) -> bool:
        return bool(ray.wait([self._reference], timeout=0)[0])

    def wait(self) -> Result:
        if self._value is None:
            with raise_own_errors():
                self._value = (ray.get(self._reference),)
        return self._value[0]
