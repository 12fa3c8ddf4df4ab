"""Functions that run on the cluster as tasks of one CPU each, each under a watchdog of its process."""

import ctypes
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from typing import Any, TypeVar

import pyarrow as pa
import ray
from ray.exceptions import RayTaskError

from actors.worker.watchdog import Watchdog
from pipeline.cluster.contract import Item, Result
from pipeline.errors import RunError

RETRIES = 10  # of a task whose worker died: nodes may be taken away, but what kills every worker ends the run
STUCK_SECONDS = 3 * 3600.0  # far above what any step takes: a read of a disk or mount that never answers
KEPT_BYTES = 512 << 20
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # glibc's malloc.h

Step = TypeVar("Step")


def run_tasks(task: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """Runs `task` on each item, as many at once as the cluster has CPUs, and yields the results in the items' order.

    A RunError of a task is raised as itself. The tasks beside it are not stopped: they end with the driver, for
    `ray.cancel` of a task that ends just then brings the driver down (Ray 2.60).
    """
    results = start_tasks(task, items)
    with raise_own_errors():
        for result in results:
            yield ray.get(result)


def start_tasks(task: Callable[[Item], Result], items: Iterable[Item]) -> list[Any]:
    """Starts `task` on each item. Returns references to the results."""
    shared = ray.put(task)
    remote: Any = ray.remote(num_cpus=1, max_retries=RETRIES)(_run)
    return [remote.remote(shared, item) for item in items]


@contextmanager
def raise_own_errors() -> Iterator[None]:
    """Raises the RunError of a task as itself, without Ray's words around it."""
    try:
        yield
    except RayTaskError as error:
        raise error.cause if isinstance(error.cause, RunError) else error from None


def _run(task: Callable[[Item], Result], item: Item) -> Result:
    _keep_freed_memory()
    with watch_step():
        return task(item)


@cache
def _keep_freed_memory() -> None:
    """Lets this process keep the memory of one task for the next. To give it back and ask for it again is a quarter of
    a task's time on virtual machines, and Arrow's own allocators do so at once; glibc's, beyond a limit."""
    pa.set_memory_pool(pa.system_memory_pool())
    with suppress(AttributeError):  # another libc
        set_option = ctypes.CDLL(None).mallopt
        set_option(M_MMAP_THRESHOLD, 32 << 20)  # the most that every glibc takes
        set_option(M_TRIM_THRESHOLD, KEPT_BYTES)


@contextmanager
def watch_step(seconds: float = STUCK_SECONDS) -> Iterator[None]:
    """Ends the process where the block takes longer than `seconds`, for Ray to run its task again elsewhere."""
    _watchdog().expect(seconds)
    try:
        yield
    finally:
        _watchdog().rest()


def watch_steps(steps: Iterator[Step], seconds: float = STUCK_SECONDS) -> Iterator[Step]:
    """The same of each step of a task. The time that their consumer takes does not count."""
    over = object()
    while True:
        with watch_step(seconds):
            step: Any = next(steps, over)
        if step is over:
            return
        yield step


@cache
def _watchdog() -> Watchdog:
    return Watchdog("a task")  # one a process: Ray runs task after task in it
