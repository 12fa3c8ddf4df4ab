"""The driver of one disturbed run, a process that may be killed: python -m tests.chaos.driver ORDER

ORDER is an `Order` in JSON. Each step it takes, which is each thing it does to the store, is a line on stdout before it
is taken: the time, its number, and what it is. Exit codes are those of jobs/rerank.py.
"""

import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ray
from pydantic import BaseModel

from pipeline import run
from pipeline.config import parse
from pipeline.errors import RunError
from pipeline.rank import merge
from pipeline.score import files as scores
from pipeline.score import stream as score
from pipeline.storage.folder import Folder
from tests.chaos.scorers import SCORERS, known_in

IN_FLIGHT = 4  # units in an actor at once


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
    """In the place of pipeline.output.lease.hold: everybody holds the output."""

    def __init__(self, output: Folder):
        pass

    def __enter__(self) -> "NoLease":
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def check(self) -> None:
        pass

    confirm = check


def count_steps(die_at: str) -> None:
    """From now on steps are told, and the process ends before or after the one named."""
    steps = 0

    def counted(method: Callable[..., Any]) -> Callable[..., Any]:
        def call(self: Folder, what: Any, *data: bytes) -> Any:
            nonlocal steps
            if threading.current_thread() is not threading.main_thread():  # the lease's beats
                return method(self, what, *data)
            steps += 1
            print(time.time(), steps, method.__name__, what, flush=True)
            if die_at == f"before {steps}":
                os.kill(os.getpid(), signal.SIGKILL)
            result = method(self, what, *data)
            if die_at == f"after {steps}":
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        return call

    for name in ("put", "put_new", "delete"):
        setattr(Folder, name, counted(getattr(Folder, name)))


def main(order: Order) -> int:
    score.ROWS_IN_FLIGHT, score.UNITS_IN_FLIGHT = 0, (IN_FLIGHT, IN_FLIGHT)
    scores.ROWS_PER_BUCKET, merge.GROUP_ROWS = 400, 1000  # several of each, on so few rows
    if not order.lease:
        run.hold = NoLease  # type: ignore[assignment]
    count_steps(order.die_at)
    ray.init(order.address, log_to_driver=False, logging_level=logging.WARNING)
    (order.folder / "node").write_text(ray.get_runtime_context().get_node_id())
    try:
        run.rerank(parse(order.config), known_in(SCORERS[order.scorer], order.folder, order.seed))
    except RunError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(Order.model_validate_json(sys.argv[1])))
