"""Warnings of a dry run, a line each. None of them stops a run."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from pipeline.config import Config
from pipeline.estimate.rate import Rate
from pipeline.estimate.tokens import Sample
from pipeline.estimate.unscored import UnscoredUnits
from pipeline.storage.urls import is_local

MAX_TRUNCATED_SHARE = 0.05  # of prompts that may lose text without a warning
OUTLIER_FACTOR = 8  # times the median: a split of that size is far larger than the others
MAX_SHARE = 0.5  # of queries with one candidate, and of those whose first-stage scores are all equal
REPEATED = "the ids of a row before it in its unit"
NO_GPUS = (
    "a worker takes no GPU, as the engine of this machine is a CPU build or workers.num_gpus is 0: give "
    "workers.num_gpus as the run will have it"
)


@dataclass(frozen=True)
class Facts:
    """The facts that the rules look at. limit: tokens of the context. writes: tokens that an answer may have.
    gpus: of a worker. rate: None where none is given."""

    config: Config
    unscored: UnscoredUnits
    sample: Sample
    limit: int
    writes: int
    gpus: float
    rate: Rate | None


def find_warnings(facts: Facts) -> list[str]:
    """The warnings of every rule in this file, in their order."""
    rules = (
        _warn_of_rate,
        _warn_of_gpus,
        _warn_of_context,
        _warn_of_unusable_rows,
        _warn_of_fusion,
        _warn_of_candidates,
        _warn_of_workers,
        _warn_of_sizes,
        _warn_of_local_output,
    )
    return [line for rule in rules for line in rule(facts)]


def _warn_of_rate(facts: Facts) -> Iterator[str]:
    yield from facts.rate.doubts if facts.rate else ()


def _warn_of_gpus(facts: Facts) -> Iterator[str]:
    if facts.rate and not facts.gpus and facts.config.workers.num_gpus is None:
        yield f"GPU hours are not counted: {NO_GPUS}"


def _warn_of_context(facts: Facts) -> Iterator[str]:
    sample, limit = facts.sample, facts.limit
    if sample.truncated > MAX_TRUNCATED_SHARE and sample.windows:
        yield (
            f"{sample.truncated:.0%} of the candidates lose a part of their text to reranker.max_passage_words, or "
            "whichever limit is set for a passage"
        )
    elif sample.truncated > MAX_TRUNCATED_SHARE:
        yield (
            f"{sample.truncated:.0%} of the prompts lose a part of their text: engine.max_model_len = {limit}, and "
            "reranker.max_query_tokens and max_doc_tokens where they are set, are too small for them"
        )
    if facts.writes > 1 and sample.longest + facts.writes > limit:
        yield (
            f"a prompt of {sample.longest:,} tokens leaves {limit - sample.longest:,} of max_new_tokens = "
            f"{facts.writes:,} for its answer: engine.max_model_len = {limit}"
        )


def _warn_of_unusable_rows(facts: Facts) -> Iterator[str]:
    """Rows that repeat another's ids are rejects of the result, and count as the others do, unless they are equal to
    it."""
    shares, allowed = dict(facts.sample.unusable), facts.config.run.max_failed
    if facts.sample.repeated:
        shares[REPEATED] = facts.sample.repeated
    if (share := sum(shares.values())) > allowed:
        reason = max(shares, key=lambda reason: shares[reason])
        yield (
            f"{share:.1%} of the rows would have no score, more than run.max_failed = {allowed}: the job would end "
            f"with exit code 3; most of them ({shares[reason]:.1%}): {reason}"
        )


def _warn_of_fusion(facts: Facts) -> Iterator[str]:
    fusion = facts.config.fusion
    if fusion.method != "none" and fusion.alpha == 1:
        yield "fusion.alpha = 1.0: the order is the first stage's, whatever the reranker says"
    if fusion.method == "none" and "alpha" in fusion.model_fields_set:
        yield f"fusion.method = 'none': fusion.alpha = {fusion.alpha} has no effect, nor have the first stage's scores"
    if fusion.method != "none" and fusion.alpha < 1 and facts.sample.tied > MAX_SHARE:
        yield "the first stage's scores do not tell the documents of a query apart, so fusing with them changes nothing"


def _warn_of_candidates(facts: Facts) -> Iterator[str]:
    sample = facts.sample
    if sample.single > MAX_SHARE:
        yield (
            f"{sample.single:.0%} of the queries have a single row in the units seen: there is nothing to rank; is "
            f"input.columns.query_id = {facts.config.input.column('query_id')!r} the query's id, and are the rows of "
            "a query together?"
        )
    if sample.repeated > 0:
        yield (
            f"{sample.repeated:.1%} of the rows repeat the ids of a row before them in their unit, with other texts or "
            "another score, and would be rejects, which count for run.max_failed; repetitions of rows in other units "
            "are not seen here"
        )


def _warn_of_workers(facts: Facts) -> Iterator[str]:
    workers, units = facts.config.workers.count[1], facts.unscored.unit_count
    tasks = facts.unscored.tasks * facts.unscored.scale
    if units and units < workers:
        yield f"{units} units for {workers} workers: {workers - units} would be idle; lower run.unit_rows"
    elif units and tasks < workers:
        yield (
            f"{tasks:.0f} read tasks for {workers} workers: one task reads up to 64 MiB of files, and may not feed "
            "them all; write smaller row groups, or more files"
        )


def _warn_of_sizes(facts: Facts) -> Iterator[str]:
    """Compressed bytes of each split, as they will be fetched: what one task reads, and what its units hold."""
    splits = facts.unscored.splits
    if len(splits) < 3:
        return
    held = np.array([sum(unit.size for unit in split.units) for split in splits])
    sizes = np.array([sum(stop - start for start, stop in split.ranges) for split in splits])
    for what, values in (("", sizes), (" for each of its rows", sizes / held)):
        worst, median = int(values.argmax()), float(np.median(values))
        if values[worst] > OUTLIER_FACTOR * median:
            split = splits[worst]
            yield (
                f"{split.path}: {held[worst]:,} rows from row {split.units[0].first:,} on are one read of "
                f"{_format_mib(sizes[worst])}, {values[worst] / median:.0f} times the median{what}"
            )
            return


def _format_mib(size: float) -> str:
    return f"{size / 2**20:,.1f} MiB"


def _warn_of_local_output(facts: Facts) -> Iterator[str]:
    config = facts.config
    if config.workers.count[1] > 1 and not config.run.shared_filesystem and is_local(config.output.path):
        yield (
            f"output.path = {config.output.path!r} is a local disk, and there are {config.workers.count[1]} workers: "
            "on a cluster of several nodes that is refused, but with run.shared_filesystem=true"
        )
