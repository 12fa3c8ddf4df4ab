"""A dry run on one page: units left -> drawn rows -> tokens -> hours and cost, memory, warnings -> lines of text."""

from typing import Any

import numpy as np

from actors.rerankers import RERANKERS
from pipeline.check import check, leaving_nothing
from pipeline.cluster import actor_gpus
from pipeline.config import Config
from pipeline.errors import UsageError
from pipeline.estimate.draw import UNITS, draw
from pipeline.estimate.hours import hours
from pipeline.estimate.left import left
from pipeline.estimate.memory import memory
from pipeline.estimate.rate import Rate
from pipeline.estimate.tokens import sample
from pipeline.estimate.warn import NO_GPUS, Found, warnings


def dry_run(config: Config, rate: Rate | None = None, gpu_hour_price: float | None = None) -> dict[str, Any]:
    """Everything that can be told of a run before it runs, as JSON-ready data. It writes nothing and starts no Ray.

    gpu_hour_price: of one GPU, in any currency. Raises UsageError as the run would.
    """
    if gpu_hour_price is not None and not gpu_hour_price >= 0:
        raise UsageError(f"--gpu-hour-price = {gpu_hour_price}: should be a number from 0 on")
    if gpu_hour_price is not None and rate is None:
        raise UsageError(f"--gpu-hour-price = {gpu_hour_price}: needs a rate: --from-manifest or --pairs-per-second")
    with leaving_nothing(config):
        checked = check(config)
    config, encoder = checked.config, checked.encoder
    gpus = actor_gpus(config)
    if gpu_hour_price is not None and not gpus:
        raise UsageError(f"--gpu-hour-price = {gpu_hour_price}: {NO_GPUS}")
    todo = left(checked)
    request = RERANKERS[config.reranker.type].request(config.reranker)
    writes = request.max_tokens
    about: dict[str, Any] = {
        "files": todo.files,
        "pairs": todo.rows,
        "units": todo.units,
        "units_again": todo.again,
        "units_drafted": todo.drafted,
        "units_scored": len(todo.plan.units) - len(todo.at) - todo.again,
        "exact": todo.exact,
    }
    if not len(todo.at):
        return about
    seen = sample(draw(todo), encoder, config.reranker, whole=len(todo.at) <= UNITS)
    unusable = sum(seen.unusable.values())
    pairs = round(todo.rows * (1 - unusable))
    per_pair, error = (value / max(1e-9, 1 - unusable) for value in (seen.per_row, seen.error))
    about |= {
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
    if writes > 1:
        known = rate.new_tokens if rate else None
        most = writes * request.rounds
        about["new_tokens"] = [round(pairs * (known or 1)), round(pairs * (known or most))]
        about["most_new_tokens"] = most
    if rate:
        took = hours(pairs, per_pair, error, writes > 1, rate)
        about["rate"] = {"source": rate.source, "formula": took.formula, "differs": rate.other, "start": rate.start}
        about["worker_hours"] = {"expected": took.expected, "least": took.least, "most": took.most}
        workers, start = config.workers.count[1], rate.start or 0.0
        about["score_seconds"] = took.expected * 3600 / workers + start
        if gpus:  # they are held while the engines start, too
            about["gpu_hours"] = {
                name: (value + workers * start / 3600) * gpus for name, value in about["worker_hours"].items()
            }
        if gpus and gpu_hour_price is not None:
            about["cost"] = {name: value * gpu_hour_price for name, value in about["gpu_hours"].items()}
    need = memory(config)
    return about | {
        "workers": config.workers.count,
        "gpus_per_worker": gpus,
        "memory": {"weights": need.weights, "dtype": need.dtype, "token": need.token, "limit": encoder.limit,
                   "longest_sequence": seen.longest},
        "warnings": warnings(Found(config, todo, seen, encoder.limit, writes, gpus, rate)),
    }  # fmt: skip
