"""Tasks on the cluster, one CPU each, as many at once as it has CPUs."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, TypeVar

import pyarrow as pa
import ray
from ray.exceptions import RayTaskError

from actors.worker.watchdog import Watchdog
from pipeline.errors import RunError

RETRIES = 10  # of a task whose worker died: nodes may be taken away, but what kills every worker ends the run
STUCK_SECONDS = 3 * 3600.0  # far above what any step takes: a read of a disk or mount that never answers

Part = TypeVar("Part")
Result = TypeVar("Result")
Step = TypeVar("Step")


def run_tasks(task: Callable[[Part], Result], parts: Iterable[Part]) -> Iterator[Result]:
    """Runs `task` on each of the parts, and yields what each came to, in their order.

    A RunError of a task comes as itself. What runs beside it is not stopped: that is for the end of the driver, for
    `ray.cancel` of a task that ends just then brings the driver down (Ray 2.60).
    """
    shared = ray.put(task)
    remote: Any = ray.remote(num_cpus=1, max_retries=RETRIES)(_run)
    results = [remote.remote(shared, part) for part in parts]
    with own_errors():
        for result in results:
            yield ray.get(result)


@contextmanager
def own_errors() -> Iterator[None]:
    """A RunError of a task comes as itself, without Ray's words around it."""
    try:
        yield
    except RayTaskError as error:
        raise error.cause if isinstance(error.cause, RunError) else error from None


def _run(task: Callable[[Part], Result], part: Part) -> Result:
    # Arrow's own allocators give memory back at once, and to get it anew is a quarter of the time on virtual machines.
    pa.set_memory_pool(pa.system_memory_pool())
    with watched():
        return task(part)


@contextmanager
def watched() -> Iterator[None]:
    """Ends the process of a task that is stuck, for Ray to run it again elsewhere."""
    _watchdog().expect(STUCK_SECONDS)
    try:
        yield
    finally:
        _watchdog().rest()


def watched_steps(steps: Iterator[Step]) -> Iterator[Step]:
    """The same of each step of a task; whoever takes them may take his time."""
    over = object()
    while True:
        with watched():
            step: Any = next(steps, over)
        if step is over:
            return
        yield step


@cache
def _watchdog() -> Watchdog:
    return Watchdog("a task")  # one a process: Ray runs task after task in it
