"""All of it: read results and runs by bucket -> mix -> write a part for each bucket -> commit."""

import hashlib
import json
import math
import time
from collections import Counter
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import numpy as np

from pipeline.cluster.contract import Cluster
from pipeline.cluster.demand import Paths, check_absolute
from pipeline.cluster.in_process import InProcess
from pipeline.credentials import refuse_credentials
from pipeline.ensemble.inputs import RankedResult, count_buckets, read_again, read_ranked_result
from pipeline.ensemble.part import Arguments, MixBucket, Mixed
from pipeline.errors import RunError, UsageError, say
from pipeline.fusion import METHODS
from pipeline.input.listing import InputFile, list_inputs
from pipeline.input.result import MANIFEST, read_result
from pipeline.output.commit import commit, list_unnamed_parts, withdraw_result
from pipeline.output.lease import hold
from pipeline.prepare.direction import describe_direction
from pipeline.prepare.formats import list_endings
from pipeline.prepare.output import SCRATCH, sweep
from pipeline.prepare.pieces import cut_pieces
from pipeline.prepare.sources import list_sources
from pipeline.prepare.spread import STORED_SCHEMAS, Spread
from pipeline.prepare.tell import describe_columns
from pipeline.rank.buckets import BucketReader
from pipeline.storage.folder import Folder, check_writable
from pipeline.storage.urls import make_absolute

MIXING = [name for name in METHODS if name != "none"]
VERSION = 1  # raised when the same inputs make another result, so that no older one stands for it
BUCKET_ROWS = 4_000_000  # of all inputs together, about, in one bucket
ROWS_HERE = 8_000_000  # up to these, all is done in this process: Ray would take longer to start
BYTES_OF_A_LINE = 20  # of a run, at least
UNUSED_FIGURES = ("rejected", "equal", "transient", "truncated", "scored_now")  # which readers of results look at
KIND = "ensemble"  # the key of the manifest that tells such a result from a run's


def fuse(arguments: Arguments, cluster: Cluster | None = None, bucket_rows: int = BUCKET_ROWS) -> dict[str, Any]:
    """Writes the mixed result and returns its figures. Raises UsageError, Held or RunError with one line.

    cluster: where buckets are mixed; without it this process, or Ray where there is much to do.
    """
    began = time.perf_counter()
    paths = [*(("RESULT", path) for path in arguments.results), *(("--run", path) for path in arguments.runs)]
    paths.append(("--output", arguments.output))
    for key, path in paths:
        refuse_credentials(path, key)
    check_absolute(paths)
    names = [*arguments.results, *arguments.runs]
    _check_arguments(arguments, names)
    output = Folder(make_absolute(arguments.output))
    by_rank = arguments.method == "rrf"
    results = [
        read_ranked_result(name, make_absolute(name), keep_columns=not number, by_rank=by_rank)
        for number, name in enumerate(arguments.results)
    ]
    files = _list_runs(arguments)
    check_writable("--output", output.url)
    _check_output(output, results)
    result_id = _compute_result_id(arguments, results, files)
    with hold(output) as lease:
        if (standing := read_result(output)) and standing["tag"] == result_id:
            say("the same result stands there")
            return standing["figures"]
        with nullcontext(cluster) if cluster else _connect(paths, arguments, results, files) as machines:
            buckets = count_buckets(results, bucket_rows)
            runs = _spread_runs(arguments, output, buckets, machines)
            task = MixBucket(results, runs, names, arguments, buckets, output, result_id)
            parts = sorted(machines.run(task, range(buckets)), key=lambda part: part.part)
        inputs = _sum_inputs(names, parts)
        directions = sum((part.directions for part in parts), Counter[str]())
        for number, run in enumerate(arguments.runs):
            if line := describe_direction(directions, number, run, run in arguments.lower_is_better):
                say(line)
        if (results, files) != ([read_again(result) for result in results], _list_runs(arguments)):
            raise RunError("an input has changed while it was read; the same command starts again")
        lease.confirm()
        counts = sum((part.counts for part in parts), Counter[str]())
        figures = {
            "output": arguments.output,
            **{name: counts[name] for name in ("rows", "queries", "ranked", "unscored")},
            **dict.fromkeys(UNUSED_FIGURES, 0),
            "inputs": inputs,
            "seconds": {"fuse": round(time.perf_counter() - began, 1)},
        }
        manifest = _build_manifest(arguments, results, [part.part for part in parts], result_id, figures)
        withdraw_result(output)  # as late as this: its parts have other names
        commit(output, manifest)
        output.delete(list_unnamed_parts(output, manifest))
        sweep(output)
    return figures


def _check_arguments(arguments: Arguments, names: list[str]) -> None:
    if arguments.method not in MIXING:
        raise UsageError(f"--method = {arguments.method!r}: known methods are {', '.join(MIXING)}")
    if len(set(names)) < len(names):
        raise UsageError(f"{names}: the same input is named twice")
    if other := [path for path in arguments.lower_is_better if path not in arguments.runs]:
        raise UsageError(f"--lower-is-better = {other[0]!r}: is no --run; give one as it is written there")
    if len(names) < 2:
        raise UsageError(f"RESULT = {names}: there is nothing to mix it with")
    if arguments.weights and len(arguments.weights) != len(names):
        raise UsageError(
            f"--weights = {arguments.weights}: one for each input is needed, in the order {', '.join(names)}"
        )
    if not all(math.isfinite(weight) and weight >= 0 for weight in arguments.weights) or not sum(
        arguments.weights or [1]
    ):
        raise UsageError(f"--weights = {arguments.weights}: should be numbers of 0 or more, and not all 0")


def _list_runs(arguments: Arguments) -> list[InputFile]:
    return [file for run in arguments.runs for file in list_inputs([run], "--run", list_endings("run"))]


def _check_output(output: Folder, results: list[RankedResult]) -> None:
    """Raises UsageError where the output is an input, or holds anything but an earlier result of this kind."""
    if output.url in {result.folder.url for result in results}:
        raise UsageError(f"--output = {output.url!r}: is one of the results that are mixed")
    try:
        manifest = json.loads(output.read(MANIFEST))
    except FileNotFoundError:
        manifest = {KIND: None}
    except ValueError:
        manifest = None
    if not isinstance(manifest, dict) or KIND not in manifest or output.names("scores/"):
        raise UsageError(f"--output = {output.url!r}: holds something else; choose another folder")


def _compute_result_id(arguments: Arguments, results: list[RankedResult], files: list[InputFile]) -> str:
    """The hash, 12 hex digits, of what makes the result. It is in the names of its parts."""
    order = [arguments.method, arguments.k, arguments.weights, arguments.top_k, arguments.lower_is_better]
    what = [VERSION, order, [[result.folder.url, result.tag] for result in results], [asdict(file) for file in files]]
    return hashlib.sha256(json.dumps(what).encode()).hexdigest()[:12]


def _connect(
    paths: Paths, arguments: Arguments, results: list[RankedResult], files: list[InputFile]
) -> AbstractContextManager[Cluster]:
    rows = sum(result.rows for result in results) + sum(file.size for file in files) // BYTES_OF_A_LINE
    if rows <= ROWS_HERE:
        return nullcontext(InProcess())
    from pipeline.cluster.connect import connect  # imported here: Ray takes a second

    return connect(paths, arguments.shared_filesystem, "--shared-filesystem")


def _spread_runs(arguments: Arguments, output: Folder, buckets: int, cluster: Cluster) -> BucketReader:
    """The rows of all runs by bucket, which lie in files below the output until the result is made."""
    sources = [
        source
        for number, run in enumerate(arguments.runs)
        for source in list_sources("run", [run], None, number, run in arguments.lower_is_better)
    ]
    scratch = output.below(SCRATCH)
    index: dict[str, np.ndarray] = {}
    counts = Counter[str]()
    for files, counted in cluster.run(Spread(scratch, buckets), enumerate(cut_pieces(sources, {}))):
        index |= files
        counts.update(counted)
    for line in (describe_columns(counts, "run", {}), _describe_unusable(counts)):
        if line:
            say(line)
    return BucketReader(scratch, index, STORED_SCHEMAS["run"])


def _describe_unusable(counts: Counter[str]) -> str:
    unusable = counts["unusable_rows"]
    return f"{unusable:,} of {counts['run_rows']:,} rows of the runs have no id or no score" if unusable else ""


def _sum_inputs(names: list[str], parts: list[Mixed]) -> dict[str, dict[str, int]]:
    """The counts of each input. Raises UsageError where one shares no candidate with the others."""
    sums = {name: sum((part.inputs[name] for part in parts), Counter[str]()) for name in names}
    for name, counts in sums.items():
        if not counts["shared"]:
            raise UsageError(
                f"{name}: none of its {counts['scored']:,} scored candidates is in another input; are the ids written "
                "alike?"
            )
        if counts["missing"]:
            total = counts["missing"] + counts["scored"]
            say(f"{name}: {counts['missing']:,} of {total:,} candidates count as the last of their query there")
    return {name: {what: counts[what] for what in ("scored", "missing", "shared")} for name, counts in sums.items()}


def _build_manifest(
    arguments: Arguments, results: list[RankedResult], parts: list[str], result_id: str, figures: dict[str, Any]
) -> dict[str, Any]:
    """As a run's (pipeline/output/manifest.py) in what readers of results look at."""
    names = [*arguments.results, *arguments.runs]
    return {
        "format": 1,
        "written": datetime.now(UTC).isoformat(timespec="seconds"),
        "tag": result_id,
        "fingerprint": result_id,
        "figures": figures,
        "reasons": {},
        "parts": parts,
        "rejects": [],
        "model": {"name": f"{arguments.method} of {', '.join(names)}", "revision": None},
        KIND: asdict(arguments) | {"tags": [result.tag for result in results]},
        "config": {
            "input": {"columns": {}},
            "reranker": {"type": KIND, "model": f"{arguments.method} of {len(names)} inputs"},
            "fusion": {"method": "none"},
            "output": {"path": arguments.output, "top_k": arguments.top_k, "columns": list(results[0].columns)},
            "workers": {"count": [0, 0], "num_gpus": None},
        },
    }
