"""The stream of a run: splits are read and prompted by tasks, and scored by a pool of actors.

Units travel (pipeline/score/prompt.py), one a row; the driver gets a row of figures for each.
"""

import os
from collections.abc import Generator, Iterator
from contextlib import closing
from functools import partial

import pyarrow as pa
import pyarrow.compute as pc

from actors.engines import get_engine
from actors.rerankers import RERANKERS
from pipeline.check.hub import load_tokenizer_patiently
from pipeline.check.preflight import Checked
from pipeline.cluster.contract import Cluster, Pool
from pipeline.cluster.demand import count_actor_cpus, count_actor_gpus
from pipeline.config import Config
from pipeline.input.listing import InputFile
from pipeline.plan.queries import sees_queries
from pipeline.plan.splits import Split, cut_splits, get_unit_rows
from pipeline.plan.units import find_present
from pipeline.plan.work import Work
from pipeline.score.candidates import find_given, order_candidates
from pipeline.score.deadline import Deadline
from pipeline.score.files import find_transient_rows
from pipeline.score.metrics import watch
from pipeline.score.order import group_by_prefix
from pipeline.score.prompt import AddKnown, PromptedUnit, add_hashes, pack_unit, prompt_unit, unpack_unit
from pipeline.score.read import read_units
from pipeline.score.write import UnitStats, UnitWriter
from pipeline.sizes import Sizes
from pipeline.storage.folder import Folder

UNITS_QUEUED = 2  # behind those in flight, so that the engine never waits for Ray


def score_units(
    checked: Checked,
    work: Work,
    scorer: type,
    cluster: Cluster,
    sizes: Sizes,
    known: AddKnown | None = None,
    deadline: Deadline = Deadline(),
) -> Generator[UnitStats, None, None]:
    """Scores the units of the work. Yields the figures of each.

    scorer: the class of the actors. known: adds to the pairs of a unit the scores that earlier runs gave them.
    deadline: after it no more units are scored; those that are left come with figures of nothing.
    Raises the RunError of a split that cannot be read, or of a unit that cannot be put.
    """
    config = checked.config
    smallest, largest = config.workers.count
    rows = sizes.candidates_in_flight if sees_queries(config) else sizes.rows_in_flight
    at_once = max(rows // get_unit_rows(config), sizes.least_units_in_flight)
    arguments = {
        "settings": config.reranker,
        "engine": config.engine,
        "stall_seconds": config.run.stall_seconds,
        "threads": _count_threads(config, cluster),
        "unpack": partial(_unpack_in_time, deadline=deadline),
        "write": UnitWriter(checked.scores, checked.run_id, config.output.explain, config.reranker.passages),
        "identify": cluster.identify_worker,
        "watch": partial(watch, checked.run_id),
        "deterministic": config.run.deterministic,
    }
    pool = Pool(
        smallest=smallest,
        largest=largest,
        in_flight=min(at_once, sizes.most_units_in_flight),
        queued=UNITS_QUEUED,
        gpus=count_actor_gpus(config),
        cpus=count_actor_cpus(config),
        accelerator=config.workers.accelerator_type,
    )
    prompt = partial(
        prompt_task,
        scores=checked.scores,
        all_scores=checked.all_scores,
        sizes=sizes,
        known=known,
        deadline=deadline,
    )
    with cluster.track_failures(largest) as tracker:
        stream = cluster.stream(prompt, work, work.tasks, scorer, arguments | {"tracker": tracker}, pool)
        with closing(stream):
            for row in stream:
                yield UnitStats(**row)


def _unpack_in_time(row: pa.Table, deadline: Deadline) -> PromptedUnit:
    """The unit of a row that has travelled; without its rows where it is too late to score them."""
    unit = unpack_unit(row)
    return unit._replace(rows=None, prompts=[], passages=[]) if deadline.is_over else unit


def prompt_task(
    task: int,
    work: Work,
    scores: Folder,
    all_scores: Folder,
    sizes: Sizes,
    known: AddKnown | None = None,
    deadline: Deadline = Deadline(),
) -> Iterator[pa.Table]:
    """The units of a task's parts of files, ready for an actor, each as one row.

    scores: the folder of those that the run puts. all_scores: that of these and others. known, deadline: see
    score_units. A unit whose scores were put meanwhile, or that is too late, comes without its rows: so a task that Ray
    runs again yields as many units in the same order, which Ray relies on when it repeats a lost block.
    """
    whole = sees_queries(work.config)
    for part in work.read_parts(task):
        failed = find_transient_rows(all_scores, part.failed, part.file.shown, whole) if part.failed else set()
        for split in cut_splits(part, work.config, work.first, failed, sizes):
            yield from _prompt_split(split, part.file, failed, work, scores, known, deadline)


def _prompt_split(
    split: Split,
    file: InputFile,
    failed: set[int],
    work: Work,
    scores: Folder,
    known: AddKnown | None,
    deadline: Deadline,
) -> Iterator[pa.Table]:
    settings = work.config.reranker
    present = find_present(scores, [unit.name for unit in split.units])
    if deadline.is_over or all(unit.name in present for unit in split.units):
        for unit in split.units:
            yield pack_unit(unit.name)
        return
    # As many tasks run at once as there are cores, beside the engine: so each has one thread, not one for every core.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    tokenizer = load_tokenizer_patiently(settings, get_engine(work.config.engine).max_length(work.config.engine))
    side, whole = RERANKERS[settings.type].prefix_side(settings), sees_queries(work.config)
    for unit, pairs in read_units(split, work.first.columns):
        if unit.name in present or deadline.is_over:
            yield pack_unit(unit.name)
            continue
        if unit.retry:
            pairs = pairs.filter(pc.is_in(pairs["row"], pa.array(failed, pa.int64())))
        pairs = add_hashes(pairs, work.config) if whole else pairs
        pairs = known(pairs) if known and not unit.retry else pairs
        pairs = order_candidates(pairs, find_given(work.config)) if whole else group_by_prefix(pairs, side)
        yield prompt_unit(unit.name, file, pairs, tokenizer, settings)


def _count_threads(config: Config, cluster: Cluster) -> int | None:
    """Threads of a CPU engine: workers.num_cpus if given, else one actor's share of a machine's cores."""
    if not get_engine(config.engine).installed().cpu:
        return None
    return max(1, int(count_actor_cpus(config) or cluster.count_cores() // config.workers.count[1]))
