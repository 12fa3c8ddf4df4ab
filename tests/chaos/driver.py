"""The driver of one disturbed run, a process that may be killed: python -m tests.chaos.driver ORDER

ORDER is an `Order` in JSON. A step is a change of the store. Before each step the driver writes a line to stdout: the
time, the number of the step, its kind and the file. Exit codes are those of jobs/rerank.py.
"""

import json
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ray
from pydantic import BaseModel

from pipeline.config import parse
from pipeline.errors import RunError
from pipeline.output.lease import hold
from pipeline.run import rerank
from pipeline.sizes import Sizes
from pipeline.storage.folder import Folder
from tests.chaos.scorers import SCORERS, known_in

IN_FLIGHT = 4  # units in an actor at once
SIZES = Sizes(
    rows_in_flight=0,
    least_units_in_flight=IN_FLIGHT,
    most_units_in_flight=IN_FLIGHT,
    bucket_rows=400,  # several buckets and groups, though there are few rows
    merged_rows=1000,
)


class Order(BaseModel):
    """die_at: `before 3`, `after 3`, or nothing. lease: whether the run looks for others that hold its output."""

    address: str
    config: dict[str, Any]
    scorer: str
    folder: Path
    seed: int
    die_at: str = ""
    lease: bool = True


class NoLease:
    """In the place of a Lease: every run holds the output."""

    def check(self) -> None:
        pass

    confirm = check

    def note_progress(self, fingerprint: str, done: int, rows: int) -> None:
        pass


@contextmanager
def hold_nothing(output: Folder) -> Iterator[Any]:
    """In the place of pipeline.output.lease.hold."""
    yield NoLease()


def count_steps(die_at: str) -> None:
    """From now on steps are written to stdout, and the process ends before or after the one named."""
    steps = 0

    def counted(method: Callable[..., Any]) -> Callable[..., Any]:
        def call(self: Folder, files: Any, *data: bytes) -> Any:
            nonlocal steps
            if threading.current_thread() is not threading.main_thread():  # the lease's beats
                return method(self, files, *data)
            steps += 1
            print(time.time(), steps, method.__name__, files, flush=True)
            if die_at == f"before {steps}":
                os.kill(os.getpid(), signal.SIGKILL)
            result = method(self, files, *data)
            if die_at == f"after {steps}":
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        return call

    for name in ("put", "put_new", "delete"):
        setattr(Folder, name, counted(getattr(Folder, name)))


def main(order: Order) -> int:
    count_steps(order.die_at)
    ray.init(order.address, log_to_driver=False, logging_level=logging.WARNING)
    (order.folder / "node").write_text(ray.get_runtime_context().get_node_id())
    try:
        scorer = known_in(SCORERS[order.scorer], order.folder, order.seed)
        figures = rerank(parse(order.config), scorer, sizes=SIZES, hold=hold if order.lease else hold_nothing)
        (order.folder / "figures").write_text(json.dumps(figures))
    except RunError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(Order.model_validate_json(sys.argv[1])))
