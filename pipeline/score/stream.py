"""The stream of a run: splits are read and prompted by tasks, and scored by a pool of actors.

Units travel (pipeline/score/prompt.py), one a row; the driver gets a row of figures for each.
"""

import os
from collections.abc import Generator, Iterator
from contextlib import closing
from functools import partial

import pyarrow as pa

from actors.engines import ENGINE
from actors.rerankers import RERANKERS
from pipeline.check.hub import load_tokenizer_patiently
from pipeline.check.preflight import Checked
from pipeline.cluster.connect import Cluster, count_actor_cpus, count_actor_gpus
from pipeline.cluster.pool import Pool
from pipeline.config import Config
from pipeline.plan.draft import Work
from pipeline.plan.plan import Split, unit_rows
from pipeline.plan.rounds import name_round
from pipeline.score.files import select_transient
from pipeline.score.metrics import watch
from pipeline.score.order import group_by_prefix
from pipeline.score.prompt import pack_unit, prompt_unit, unpack_unit
from pipeline.score.read import read_units
from pipeline.score.write import UnitStats, UnitWriter
from pipeline.sizes import Sizes
from pipeline.storage.folder import Folder

UNITS_QUEUED = 2  # behind those in flight, so that the engine never waits for Ray


def score_units(
    checked: Checked, work: Work, scorer: type, cluster: Cluster, sizes: Sizes
) -> Generator[UnitStats, None, None]:
    """Scores the units of the work. Yields the figures of each unit of its splits.

    scorer: the class of the actors. Raises the RunError of a split that cannot be read, or of a unit that cannot be
    put.
    """
    config = checked.config
    smallest, largest = config.workers.count
    at_once = max(sizes.rows_in_flight // unit_rows(config), sizes.least_units_in_flight)
    arguments = {
        "settings": config.reranker,
        "engine": config.engine,
        "stall_seconds": config.run.stall_seconds,
        "threads": _count_threads(config, cluster),
        "unpack": unpack_unit,
        "write": UnitWriter(checked.scores, work.id, config.output.explain),
        "tracker": cluster.make_tracker(largest),
        "identify": cluster.identify_worker,
        "watch": partial(watch, work.id),
        "deterministic": config.run.deterministic,
    }
    rows = cluster.stream(
        partial(prompt_task, config=config, limit=checked.tokenizer.limit, scores=checked.scores),
        work,
        work.tasks,
        scorer,
        arguments,
        Pool(
            smallest=smallest,
            largest=largest,
            in_flight=min(at_once, sizes.most_units_in_flight),
            queued=UNITS_QUEUED,
            gpus=count_actor_gpus(config),
            cpus=count_actor_cpus(config),
        ),
    )
    with closing(rows):
        for row in rows:
            yield UnitStats(**row)


def prompt_task(task: int, work: Work, config: Config, limit: int, scores: Folder) -> Iterator[pa.Table]:
    """The units of a task's splits, ready for an actor, each as one row.

    limit: the longest prompt, of the driver's tokenizer. A unit whose scores were put before comes without its rows: so
    a task that Ray runs again yields as many units in the same order, which Ray relies on when it repeats a lost block.
    """
    for split in work.splits(task):  # for a draft, this reads the footers of files
        yield from _prompt_split(split, work, config, limit, scores)


def _prompt_split(split: Split, work: Work, config: Config, limit: int, scores: Folder) -> Iterator[pa.Table]:
    names = {unit.name: name_round(unit.name, work.later.get(unit.name, 0)) for unit in split.units}
    number = split.units[0].name.partition("-")[0]
    present = scores.find_present([f"{name}.parquet" for name in names.values()], f"{number}-")
    todo = {unit for unit, name in names.items() if f"{name}.parquet" not in present}
    if not todo:
        for unit in split.units:
            yield pack_unit(unit.name, None)
        return
    # As many tasks run at once as there are cores, beside the engine: so each has one thread, not one for every core.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    tokenizer = load_tokenizer_patiently(config.reranker, limit)
    side = RERANKERS[config.reranker.type].prefix_side(config.reranker)
    for unit, pairs in read_units(split, work.columns):
        if unit.name not in todo:
            yield pack_unit(unit.name, None)
            continue
        if later := work.later.get(unit.name):
            pairs = select_transient(pairs, scores, name_round(unit.name, later - 1))
        yield prompt_unit(names[unit.name], group_by_prefix(pairs, side), tokenizer, config.reranker)


def _count_threads(config: Config, cluster: Cluster) -> int | None:
    """Threads of a CPU engine: workers.num_cpus if given, else one actor's share of a machine's cores."""
    if not ENGINE.installed().cpu:
        return None
    return max(1, int(count_actor_cpus(config) or cluster.count_cores() // config.workers.count[1]))
