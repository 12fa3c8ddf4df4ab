"""The place where a run's functions run: a Ray cluster (ray_cluster.py), or this process alone (in_process.py)."""

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any, NamedTuple, Protocol, TypeVar

import pyarrow as pa

from actors.worker.failures import Worker

Item = TypeVar("Item")
Result = TypeVar("Result")
Value = TypeVar("Value", covariant=True)


class Pool(NamedTuple):
    """The actors of a stream.

    smallest, largest: how many there are. in_flight: units that one works on at once; queued: units that wait behind
    those, so that it never waits for Ray. gpus, cpus: what Ray sets aside for each. accelerator: the kind of
    accelerator that the node of each has, as Ray names it, if one is asked for.
    """

    smallest: int
    largest: int
    in_flight: int
    queued: int
    gpus: float
    cpus: float
    accelerator: str | None = None


class Started(Protocol[Value]):
    """A function that was started. It may be sent to other processes of the cluster, which get the value, too."""

    def is_ready(self) -> bool:
        """Whether it has returned, or raised."""

    def wait(self) -> Value:
        """Its return value. Raises its RunError as itself."""


class Cluster(Protocol):
    """Runs functions. A RunError that one of them raises is raised as itself."""

    def run(self, task: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        """Runs a task on each item, as many at once as there are CPUs, and yields the results in the items' order."""

    def keep(self, task: Callable[[Item], Result], items: Iterable[Item]) -> Sequence[Started[Result]]:
        """Runs a task on each item in the same way. The results stay where they were made until they are asked for, and
        each node holds one once, for all of its processes."""

    def start(self, function: Callable[..., Result], *arguments: Any) -> Started[Result]:
        """Calls a function beside all else."""

    def stream(
        self,
        make: Callable[[int, Any], Iterator[pa.Table]],
        shared: Any,
        tasks: int,
        actor: type,
        arguments: dict[str, Any],
        pool: Pool,
    ) -> Generator[dict[str, Any], None, None]:
        """The rows that actors return for the one-row tables of `make(task, shared)`, for all tasks, in any order.

        actor: a class whose instances are awaited with such a table. arguments: of its constructor.
        """

    def track_failures(self, actors: int) -> AbstractContextManager[Any]:
        """The failure tracker of a stream (actors/worker/failures.py), for its actors; it ends with the block. actors:
        the most there may be."""

    def identify_worker(self) -> Worker:
        """This process, in an actor of a stream."""

    def count_cores(self) -> int:
        """CPUs of the largest node."""

    def read_spilled_bytes(self) -> int | None:
        """Bytes that the object stores of all nodes have written to disk since they began; None where it cannot be
        said."""
