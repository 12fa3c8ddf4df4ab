"""The stream of a run on Ray Data: splits are read and prompted by CPU tasks, scored by a pool of actors.

What travels is units (pipeline.score.prompt), one a row; what arrives here is one line of figures a unit.
"""

import os
import secrets
import threading
from collections.abc import Callable, Generator, Iterator
from functools import partial
from typing import Any

import pyarrow as pa
import ray
from ray.data import ActorPoolStrategy
from ray.exceptions import RayActorError, RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from actors.engines import ENGINE
from actors.rerankers import RERANKERS
from actors.worker.failures import FailureTracker, Worker
from pipeline.check.hub import load_tokenizer_patiently
from pipeline.check.preflight import Checked
from pipeline.cluster.connect import actor_cpus, actor_gpus
from pipeline.cluster.tasks import watched_steps
from pipeline.config import Config
from pipeline.errors import RunError, of_worker
from pipeline.plan.draft import Work
from pipeline.plan.plan import Split, unit_rows
from pipeline.plan.rounds import stem
from pipeline.score.files import put_scores, worth_another_try
from pipeline.score.metrics import watch
from pipeline.score.order import group_by_prefix
from pipeline.score.prompt import packed, prompt_unit, unpacked
from pipeline.score.read import read_units
from pipeline.score.write import UnitWriter
from pipeline.storage.folder import Folder

# In one actor: the next units wait in the engine before the tail of the last one is done. A tail of reasoning is long.
ROWS_IN_FLIGHT, UNITS_IN_FLIGHT = 8192, (4, 32)
UNITS_QUEUED = 2  # behind those, so that the engine never waits for Ray
TASK_RETRIES = 10  # of a split whose process died; Ray Data would try for ever
ENDING = 30.0  # seconds that a thread of Ray Data's may take to end
GONE = (
    "the actor that keeps the record of what was tried died, on the driver's node (out of memory? Ray's logs there say "
    "more); what was scored is kept, and the same command goes on from there"
)
PROCESS = secrets.token_hex(4)  # of this one; a process id may come again


def prompted_units(batch: pa.Table, handed: Any, config: Config, limit: int, scores: Folder) -> Iterator[pa.Table]:
    """The units of a task's splits, ready for an actor, each as one row. limit: of the driver's tokenizer.

    Units whose scores are there already come without their rows: a task that Ray runs again yields the same units in
    the same places as the first time, which is what Ray takes for granted when it makes a lost block anew.
    """
    work: Work = ray.get(handed)
    yield from watched_steps(_units(batch["id"][0].as_py(), work, config, limit, scores))


def _units(task: int, work: Work, config: Config, limit: int, scores: Folder) -> Iterator[pa.Table]:
    for split in work.splits(task):  # of a draft, files' footers are read for it
        yield from _prompted(split, work, config, limit, scores)


def _prompted(split: Split, work: Work, config: Config, limit: int, scores: Folder) -> Iterator[pa.Table]:
    stems = {unit.name: stem(unit.name, work.later.get(unit.name, 0)) for unit in split.units}
    there = scores.present([f"{name}.parquet" for name in stems.values()], split.units[0].name.partition("-")[0] + "-")
    todo = {unit for unit, name in stems.items() if f"{name}.parquet" not in there}
    if not todo:
        for unit in split.units:
            yield packed(unit.name, None)
        return
    # As many tasks run as there are cores, and an engine must get its share: one thread each, not one for every core.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    tokens = load_tokenizer_patiently(config.reranker, limit)
    shared = RERANKERS[config.reranker.type].shared(config.reranker)
    for unit, pairs in read_units(split, work.columns):
        if unit.name not in todo:
            yield packed(unit.name, None)
            continue
        if number := work.later.get(unit.name):
            pairs = worth_another_try(pairs, scores, stem(unit.name, number - 1))
        yield prompt_unit(stems[unit.name], group_by_prefix(pairs, shared), tokens, config.reranker)


class Record:
    """The run's Attempts, which live in a Ray actor, as this process calls them. actors: the most there may be.

    It is beside the driver, who makes it, and nowhere else: a node that goes away must not take the record along. (A
    soft affinity is a wish: Ray was seen to place the actor on another node.)
    """

    def __init__(self, actors: int):
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        options = {"num_cpus": 0, "scheduling_strategy": here, "max_task_retries": -1}
        self.attempts = ray.remote(FailureTracker).options(**options).remote(actors)

    def __call__(self, method: Callable[..., Any], *what: Any) -> Any:
        """What a method of Attempts returns, or raises. Raises RunError where they are gone."""
        worker = Worker(ray.get_runtime_context().get_actor_id() or "", PROCESS)
        try:
            return ray.get(getattr(self.attempts, method.__name__).remote(worker, *what))
        except RayActorError as error:
            raise RunError(GONE) from error


def score_units(checked: Checked, work: Work, scorer: type) -> Generator[dict[str, Any], None, None]:
    """Scores what is to be done. Yields one line of figures a unit of its splits.

    Raises the RunError of a split that cannot be read, or of a unit that cannot be put.
    """
    config = checked.config
    handed = ray.put(work)  # its tables are Arrow's: a task maps them and copies nothing
    smallest, largest = config.workers.count
    in_flight = min(max(ROWS_IN_FLIGHT // unit_rows(config), UNITS_IN_FLIGHT[0]), UNITS_IN_FLIGHT[1])
    dataset = ray.data.range(work.tasks, override_num_blocks=work.tasks).map_batches(
        partial(prompted_units, handed=handed, config=config, limit=checked.tokenizer.limit, scores=checked.scores),
        batch_size=1,
        batch_format="pyarrow",
        max_retries=TASK_RETRIES,
    )
    dataset = dataset.map_batches(
        scorer,
        batch_size=1,
        batch_format="pyarrow",
        fn_constructor_kwargs={
            "settings": config.reranker,
            "engine": config.engine,
            "stall_seconds": config.run.stall_seconds,
            "threads": _threads(config),
            "unpack": unpacked,
            "put": UnitWriter(work.id, partial(put_scores, checked.scores, work.id, config.output.explain)),
            "watch": partial(watch, work.id),
            "record": Record(largest),
            "deterministic": config.run.deterministic,
        },
        compute=ActorPoolStrategy(
            min_size=smallest,
            max_size=largest,
            max_concurrent_calls_per_actor=in_flight,
            max_tasks_in_flight_per_actor=in_flight + UNITS_QUEUED,
        ),
        num_gpus=actor_gpus(config),
        num_cpus=actor_cpus(config),
    )
    before = set(threading.enumerate())
    try:
        for bundle in dataset.iter_internal_ref_bundles():  # iter_rows has a thread that goes on when it is left
            for block in bundle.block_refs:
                yield from ray.get(block).to_pylist()
    except RayError as error:
        raise of_worker(error) or error from None
    finally:  # left early, its threads may go on for a moment; one that finds Ray shut down ends this process, code 1
        for thread in set(threading.enumerate()) - before:
            thread.join(ENDING)


def _threads(config: Config) -> int | None:
    """Threads of a CPU engine: the actor's num_cpus if given, else its share of one machine's cores."""
    if not ENGINE.installed().cpu:
        return None
    cores = max(int(node["Resources"].get("CPU", 1)) for node in ray.nodes() if node["Alive"])
    return max(1, int(actor_cpus(config) or cores // config.workers.count[1]))
