"""A cluster that is this process: everything runs here and now, one thing after the other, without Ray."""

import asyncio
import os
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Generic

from actors.worker.failures import FailureTracker, Worker
from pipeline.cluster.contract import Item, Pool, Result


class InProcess:
    """A Cluster (contract.py) for small results, and for tests of the dataflow, which run in a tenth of a second."""

    def run(self, task: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        return map(task, items)

    def keep(self, task: Callable[[Item], Result], items: Iterable[Item]) -> "list[Returned[Result]]":
        return [Returned(task(item)) for item in items]

    def start(self, function: Callable[..., Result], *arguments: Any) -> "Returned[Result]":
        return Returned(function(*arguments))

    def stream(
        self,
        make: Callable[[int, Any], Iterator[Any]],
        shared: Any,
        tasks: int,
        actor: type,
        arguments: dict[str, Any],
        pool: Pool,
    ) -> Generator[dict[str, Any], None, None]:
        scorer = actor(**arguments)
        try:
            with asyncio.Runner() as runner:
                for task in range(tasks):
                    for unit in make(task, shared):
                        yield from runner.run(scorer(unit)).to_pylist()
        finally:
            scorer.close()

    def track_failures(self, actors: int) -> AbstractContextManager[FailureTracker]:
        return nullcontext(FailureTracker(actors))

    def identify_worker(self) -> Worker:
        return Worker("this process", str(os.getpid()))

    def count_cores(self) -> int:
        return os.cpu_count() or 1

    def read_spilled_bytes(self) -> int | None:
        return None


@dataclass(frozen=True)
class Returned(Generic[Result]):
    """A function that was started and has returned."""

    value: Result

    def is_ready(self) -> bool:
        return True

    def wait(self) -> Result:
        return self.value
