"""The run's failure tracker where workers are Ray's actors: an actor beside the driver, and how workers call it."""

import secrets
from typing import Any

import ray
from ray.exceptions import RayActorError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from actors.worker.failures import FailureTracker, Result, Span, Turn, Worker
from pipeline.errors import RunError

GONE = (
    "the actor that keeps the record of what was tried died, on the driver's node (out of memory? Ray's logs there say "
    "more); what was scored is kept, and the same command goes on from there"
)
PROCESS = secrets.token_hex(4)  # of this one; a process id may come again


def identify_worker() -> Worker:
    """This process of this actor."""
    return Worker(ray.get_runtime_context().get_actor_id() or "", PROCESS)


class RemoteTracker:
    """A FailureTracker in a Ray actor: the same methods. actors: the most there may be.

    It is beside the driver, which makes it, and nowhere else: a node that goes away must not take the record along. (A
    soft affinity is a wish: Ray was seen to place the actor on another node.) Where it is gone, each method raises
    RunError.
    """

    def __init__(self, actors: int):
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        remote: Any = ray.remote(FailureTracker)
        self.actor = remote.options(num_cpus=0, scheduling_strategy=here, max_task_retries=-1).remote(actors)

    def starting(self, worker: Worker) -> None:
        _get(self.actor.starting.remote(worker))

    def start_failed(self, worker: Worker, error: str) -> None:
        _get(self.actor.start_failed.remote(worker, error))

    def started(self, worker: Worker) -> None:
        _get(self.actor.started.remote(worker))

    def broke(self, worker: Worker, error: str) -> None:
        _get(self.actor.broke.remote(worker, error))

    def put_hung(self, worker: Worker, error: str) -> None:
        _get(self.actor.put_hung.remote(worker, error))

    def enter(self, worker: Worker, name: str, prompts: int, again: bool = False) -> Turn:
        return _get(self.actor.enter.remote(worker, name, prompts, again))

    def begin(self, worker: Worker, name: str, span: Span) -> None:
        _get(self.actor.begin.remote(worker, name, span))

    def scored(self, worker: Worker, name: str, span: Span, result: Result) -> None:
        _get(self.actor.scored.remote(worker, name, span, result))

    def end(self, worker: Worker, name: str, row: Any) -> None:
        _get(self.actor.end.remote(worker, name, row))


def _get(answer: Any) -> Any:
    try:
        return ray.get(answer)
    except RayActorError as error:
        raise RunError(GONE) from error
