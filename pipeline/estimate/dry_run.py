"""A dry run on one page: unscored units -> drawn rows -> tokens -> hours and cost, memory, warnings -> text."""

from typing import Any
from uuid import uuid4

import numpy as np

from actors.rerankers import RERANKERS
from pipeline.check.model import check_tokenizer
from pipeline.check.preflight import check, remove_new_folders
from pipeline.cluster.demand import count_actor_gpus
from pipeline.cluster.in_process import InProcess
from pipeline.config import Config
from pipeline.errors import UsageError, say
from pipeline.estimate.draw import draw_units
from pipeline.estimate.hours import estimate_hours
from pipeline.estimate.memory import estimate_memory
from pipeline.estimate.rate import Rate
from pipeline.estimate.sizes import Sizes
from pipeline.estimate.tokens import Sample, sample_tokens
from pipeline.estimate.unscored import UnscoredUnits, find_unscored_units
from pipeline.estimate.warn import NO_GPUS, Facts, find_warnings
from pipeline.plan.queries import sees_queries
from pipeline.plan.reuse import Earlier
from pipeline.rank.known import prepare_known
from pipeline.score.candidates import find_given
from pipeline.score.prompt import AddKnown, add_hashes
from pipeline.sizes import Sizes as RunSizes
from pipeline.storage.folder import Folder


def dry_run(
    config: Config, rate: Rate | None = None, gpu_hour_price: float | None = None, sizes: Sizes = Sizes()
) -> dict[str, Any]:
    """All figures of a run that can be known before it, as JSON-ready data. It writes nothing and starts no Ray.

    gpu_hour_price: of one GPU, in any currency. Raises UsageError as the run would.
    """
    check_price(gpu_hour_price, rate)
    with remove_new_folders(config):
        checked = check(config)
    return estimate_run(checked.config, find_unscored_units(checked, sizes), rate, gpu_hour_price, sizes)


def estimate_run(
    config: Config, todo: UnscoredUnits, rate: Rate | None, gpu_hour_price: float | None, sizes: Sizes
) -> dict[str, Any]:
    """The same of a config that was checked, or a stage of one, and what it has to score."""
    gpus = count_actor_gpus(config)
    if gpu_hour_price is not None and not gpus:
        raise UsageError(f"--gpu-hour-price = {gpu_hour_price}: {NO_GPUS}")
    about = _describe_rows(todo)
    if not todo.units:
        return about
    tokenizer = check_tokenizer(config)
    drawn = draw_units(todo, sizes, queries=sees_queries(config), known=_load_known(config, todo.earlier, sizes))
    every = len(todo.units) <= sizes.units
    seen = sample_tokens(drawn, tokenizer, config.reranker, every, find_given(config))
    request = RERANKERS[config.reranker.type].request(config.reranker)
    pairs = round(todo.rows * (1 - seen.known - sum(seen.unusable.values())))
    about |= _describe_tokens(seen, todo)
    if seen.windows:
        about["windows"] = round(pairs * seen.windows)
    if request.max_tokens > 1:
        known, most = rate.new_tokens if rate else None, request.max_tokens * request.rounds
        answers = about.get("windows", pairs)
        about["new_tokens"] = [round(pairs * known)] * 2 if known else [answers, answers * most]
        about["most_new_tokens"] = most
    if rate:
        about |= _describe_hours(
            pairs, seen, request.max_tokens > 1, rate, config.workers.count[1], gpus, gpu_hour_price
        )
    need = estimate_memory(config)
    return about | {
        "workers": config.workers.count,
        "gpus_per_worker": gpus,
        "memory": {"weights": need.weights, "dtype": need.dtype, "token": need.token, "limit": tokenizer.limit,
                   "longest_sequence": seen.longest},
        "warnings": find_warnings(Facts(config, todo, seen, tokenizer.limit, request.max_tokens, gpus, rate)),
    }  # fmt: skip


def _load_known(config: Config, earlier: list[Earlier], sizes: Sizes) -> AddKnown | None:
    """A function that adds to the pairs of a unit the scores that they have by their texts. None where no pair can have
    one, or there are too many of them to look up, which a line says."""
    rows = sum(one.rows for one in earlier)
    if rows > sizes.known_rows:
        say(f"{rows:,} rows have scores that could be taken (run.reuse): too many to look up, so nothing is known here")
    if not 0 < rows <= sizes.known_rows:
        return None
    place = Folder(f"memory://rayrank-{uuid4()}")
    known = prepare_known(earlier, place, config.output.explain, InProcess(), RunSizes(), sees_queries(config))
    place.delete(place.names())
    return lambda pairs: known(add_hashes(pairs, config))


def check_price(price: float | None, rate: Rate | None) -> None:
    if price is not None and not price >= 0:
        raise UsageError(f"--gpu-hour-price = {price}: should be a number from 0 on")
    if price is not None and rate is None:
        raise UsageError(f"--gpu-hour-price = {price}: needs a rate: --from-manifest or --pairs-per-second")


def _describe_rows(todo: UnscoredUnits) -> dict[str, Any]:
    return {
        "files": todo.files,
        "pairs": todo.rows,
        "units": todo.unit_count,
        "pairs_scored": todo.scored,
        "units_failed": todo.failed,
        "exact": todo.exact,
    }


def _describe_tokens(seen: Sample, todo: UnscoredUnits) -> dict[str, Any]:
    return {
        "known": seen.known if todo.earlier else None,
        "unusable": seen.unusable,
        "sampled": {"units": seen.units, "rows": seen.prompts},
        "prompt_tokens": round(seen.per_row * todo.rows),
        "prompt_tokens_error": round(seen.error * todo.rows),
        "tokens_per_prompt": {
            "mean": round(float(seen.lengths.mean()), 1) if seen.prompts else None,
            "p95": int(np.percentile(seen.lengths, 95)) if seen.prompts else None,
            "max": int(seen.lengths.max()) if seen.prompts else None,
        },
        "truncated": seen.truncated,
    }


def _describe_hours(
    pairs: int, seen: Sample, writes: bool, rate: Rate, workers: int, gpus: float, price: float | None
) -> dict[str, Any]:
    """Hours of workers and GPUs at this rate, and what they cost. The GPUs are held while the engines start, too."""
    usable = max(1e-9, 1 - seen.known - sum(seen.unusable.values()))
    took = estimate_hours(pairs, seen.per_row / usable, seen.error / usable, writes, rate)
    start = rate.start or 0.0
    worker_hours = {"expected": took.expected, "least": took.least, "most": took.most}
    about: dict[str, Any] = {
        "rate": {"source": rate.source, "formula": took.formula, "differs": rate.other, "start": rate.start},
        "worker_hours": worker_hours,
        "score_seconds": took.expected * 3600 / workers + start,
    }
    if gpus:
        gpu_hours = {name: (value + workers * start / 3600) * gpus for name, value in worker_hours.items()}
        about["gpu_hours"] = gpu_hours
        if price is not None:
            about["cost"] = {name: value * price for name, value in gpu_hours.items()}
    return about
