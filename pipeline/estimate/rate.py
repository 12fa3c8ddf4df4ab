"""How fast one worker is: as the user says, or as an earlier run was, by its manifest."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pipeline.config import Config
from pipeline.errors import UsageError
from pipeline.input.result import read_result
from pipeline.storage.folder import Folder
from pipeline.storage.urls import make_absolute

MIN_SECONDS = 60  # of scoring: a shorter run says little
MIN_UNITS_PER_WORKER = 4  # with fewer, some workers wait for others at the end


@dataclass(frozen=True)
class Rate:
    """One worker's speed while it scores, and what else is known of an earlier run.

    pairs: per second, the least and the most that it can have been. prompt_tokens, new_tokens: of a pair.
    start: seconds until the engines took their first pair; None where that is not known, 0 where the rate has it in it.
    other: how that run differs from this one, and doubts: why its rate may be far off, in words.
    """

    source: str
    pairs: tuple[float, float]
    prompt_tokens: float | None = None
    new_tokens: float | None = None
    start: float | None = None
    other: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()


def make_rate(pairs_per_second: float) -> Rate:
    """A rate that the user gives. Raises UsageError where it is none."""
    if not (math.isfinite(pairs_per_second) and pairs_per_second > 0):
        raise UsageError(f"--pairs-per-second = {pairs_per_second}: should be a number above 0")
    return Rate(f"--pairs-per-second {pairs_per_second:g}", (pairs_per_second, pairs_per_second))


def read_rate(output: str, config: Config) -> Rate:
    """The rate of the run that made a result. Raises UsageError where its manifest has none."""
    manifest = read_result(Folder(make_absolute(output)))
    if manifest is None:
        raise UsageError(f"--from-manifest {output!r}: there is no finished result (no _SUCCESS with its manifest)")
    figures, seconds = manifest["figures"], manifest["figures"]["seconds"]
    pairs = figures["scored_now"]
    if not pairs or not seconds.get("score"):
        raise UsageError(
            f"--from-manifest {output!r}: that run scored nothing; its result was ranked from stored scores"
        )
    start = seconds.get("engines", 0.0)
    scoring = max(seconds["score"] - start, 1e-3)
    least, most = manifest["config"]["workers"]["count"]
    units = figures.get("units_now")  # older manifests have none
    least, most = (workers if units is None else min(workers, units) for workers in (least, most))
    workers = f"{least}" if least == most else f"{least} to {most}"
    return Rate(
        source=f"{output}: {pairs:,} pairs in {scoring:,.1f} s on {workers} worker(s)",
        pairs=(pairs / scoring / most, pairs / scoring / least),
        prompt_tokens=figures["prompt_tokens"] / pairs,
        new_tokens=figures["new_tokens"] / pairs,
        start=start,
        other=tuple(_find_differences(manifest["config"], config)),
        doubts=tuple(_find_doubts(output, scoring, units, manifest["config"]["workers"]["count"][1])),
    )


def _find_doubts(output: str, scoring: float, units: int | None, workers: int) -> Iterator[str]:
    if scoring < MIN_SECONDS:
        yield f"--from-manifest {output!r}: that run scored for {scoring:,.1f} s, which is little to go by"
    if units is not None and units < MIN_UNITS_PER_WORKER * workers:
        yield (
            f"--from-manifest {output!r}: that run scored {units:,} units on {workers:,} worker(s), so that some of "
            "them may have waited for the others; its rate may be too low"
        )


def _find_differences(before: dict[str, Any], config: Config) -> list[str]:
    """The differences, apart from the input, that may make this run faster or slower than that one."""
    now = config.model_dump(mode="json")
    reranker = {name for name in before["reranker"].keys() | now["reranker"].keys() if name != "revision"}
    keys = [("reranker", name) for name in reranker] + [
        ("engine", name) for name in before["engine"].keys() | now["engine"].keys()
    ]
    keys += [("workers", name) for name in ("num_gpus", "num_cpus", "accelerator_type")]
    keys += [("run", "deterministic")]
    found = [(section, name, before[section].get(name), now[section].get(name)) for section, name in sorted(keys)]
    return [f"{section}.{name} was {old!r}, is {new!r}" for section, name, old, new in found if old != new]
