"""What a dry run finds worth a second look, a line each. None of it stops a run."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from pipeline.config import Config
from pipeline.estimate.left import Left
from pipeline.estimate.rate import Rate
from pipeline.estimate.tokens import Sample
from pipeline.plan.plan import bytes_of
from pipeline.storage.urls import is_local

TRUNCATED = 0.05  # share of prompts that may lose text without a word
FAR = 8  # times the median makes a unit or split far larger than the rest
FEW = 0.5  # share of queries with one candidate
REPEATED = "the ids of a row before it in its unit"
NO_GPUS = (
    "a worker takes no GPU, as the vLLM of this machine is a CPU build or workers.num_gpus is 0: give workers.num_gpus "
    "as the run will have it"
)


@dataclass(frozen=True)
class Found:
    """What the warnings are about. limit: tokens of the context. writes: tokens that an answer may have.
    gpus: of a worker. rate: None where none is given."""

    config: Config
    left: Left
    sample: Sample
    limit: int
    writes: int
    gpus: float
    rate: Rate | None


def warnings(found: Found) -> list[str]:
    """The warnings of every rule in this file, in their order."""
    rules = (_rate, _gpus, _context, _unusable, _fusion, _candidates, _workers, _sizes, _place)
    return [line for rule in rules for line in rule(found)]


def _rate(found: Found) -> Iterator[str]:
    yield from found.rate.doubts if found.rate else ()


def _gpus(found: Found) -> Iterator[str]:
    if found.rate and not found.gpus and found.config.workers.num_gpus is None:
        yield f"GPU hours are not counted: {NO_GPUS}"


def _context(found: Found) -> Iterator[str]:
    sample, limit = found.sample, found.limit
    if sample.truncated > TRUNCATED:
        yield (
            f"{sample.truncated:.0%} of the prompts lose a part of their text: engine.max_model_len = {limit}, and "
            "reranker.max_query_tokens and max_doc_tokens where they are set, are too small for them"
        )
    if found.writes > 1 and sample.longest + found.writes > limit:
        yield (
            f"a prompt of {sample.longest:,} tokens leaves {limit - sample.longest:,} of max_new_tokens = "
            f"{found.writes:,} for its answer: engine.max_model_len = {limit}"
        )


def _unusable(found: Found) -> Iterator[str]:
    """Rows that repeat another's ids are rejects of the result, and count as the others do."""
    shares, allowed = dict(found.sample.unusable), found.config.run.max_failed
    if found.sample.repeated:
        shares[REPEATED] = found.sample.repeated
    if (share := sum(shares.values())) > allowed:
        reason = max(shares, key=lambda reason: shares[reason])
        yield (
            f"{share:.1%} of the rows would have no score, more than run.max_failed = {allowed}: the job would end "
            f"with exit code 3; most of them ({shares[reason]:.1%}): {reason}"
        )


def _fusion(found: Found) -> Iterator[str]:
    fusion = found.config.fusion
    if fusion.method != "none" and fusion.alpha == 1:
        yield "fusion.alpha = 1.0: the order is the first stage's, whatever the reranker says"
    if fusion.method == "none" and "alpha" in fusion.model_fields_set:
        yield f"fusion.method = 'none': fusion.alpha = {fusion.alpha} has no effect, nor have the first stage's scores"
    if fusion.method != "none" and fusion.alpha < 1 and found.sample.tied > FEW:
        yield "the first stage's scores do not tell the documents of a query apart, so fusing with them changes nothing"


def _candidates(found: Found) -> Iterator[str]:
    sample = found.sample
    if sample.single > FEW:
        yield (
            f"{sample.single:.0%} of the queries have a single row in the units seen: there is nothing to rank; is "
            f"input.columns.query_id = {found.config.input.column('query_id')!r} the query's id, and are the rows of "
            "a query together?"
        )
    if sample.repeated > 0:
        yield (
            f"{sample.repeated:.1%} of the rows repeat the ids of a row before them in their unit, and would be "
            "rejects, which count for run.max_failed; repetitions of rows in other units are not seen here"
        )


def _workers(found: Found) -> Iterator[str]:
    workers, left = found.config.workers.count[1], found.left
    splits = len(np.unique(left.table()["split"].to_numpy())) * left.scale
    if left.units and left.units < workers:
        yield f"{left.units} units for {workers} workers: {workers - left.units} would be idle; lower run.unit_rows"
    elif left.units and splits < workers:
        yield (
            f"{splits:.0f} read tasks for {workers} workers: one task reads up to 256 MiB of whole row groups, and may "
            "not feed them all; write smaller files or row groups"
        )


def _sizes(found: Found) -> Iterator[str]:
    """Compressed bytes of each split, as they will be fetched: what one task reads, and what its units hold."""
    units = found.left.table()
    first = np.unique(units["split"].to_numpy(), return_index=True)[1]
    if len(first) < 3:
        return
    rows = units.take(pa.array(first)).select(["path", "start", "ranges"]).to_pylist()
    held = np.add.reduceat(found.left.unit_rows(), first)
    sizes = np.array([bytes_of(row["ranges"]) for row in rows])
    for what, values in (("", sizes), (" for each of its rows", sizes / held)):
        worst, median = int(values.argmax()), float(np.median(values))
        if values[worst] > FAR * median:
            row = rows[worst]
            yield (
                f"{row['path']}: {held[worst]:,} rows from row {row['start']:,} on are one read of "
                f"{_mib(sizes[worst])}, {values[worst] / median:.0f} times the median{what}"
            )
            return


def _mib(size: float) -> str:
    return f"{size / 2**20:,.1f} MiB"


def _place(found: Found) -> Iterator[str]:
    config = found.config
    if config.workers.count[1] > 1 and not config.run.shared_filesystem and is_local(config.output.path):
        yield (
            f"output.path = {config.output.path!r} is a local disk, and there are {config.workers.count[1]} workers: "
            "on a cluster of several nodes that is refused, but with run.shared_filesystem=true"
        )
