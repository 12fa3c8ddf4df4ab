"""Tasks on the cluster, one CPU each, as many at once as it has CPUs."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import pyarrow as pa
import ray
from ray.exceptions import RayTaskError

from pipeline.errors import RunError

RETRIES = 10  # of a task whose worker died: nodes may be taken away, but what kills every worker ends the run

Part = TypeVar("Part")
Result = TypeVar("Result")


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
    return task(part)
