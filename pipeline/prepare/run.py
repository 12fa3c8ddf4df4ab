"""All of it: cut -> spread the runs and queries -> choose -> spread the corpus -> join -> write the shards.

Both sides of each join are first spread by the same hash of an id, so that a bucket of one needs the same bucket of
the other and no more. Only the documents that a candidate names are spread. The files between the steps lie in
`_work/` below the output, by bucket (pipeline/rank/buckets.py); no task holds more than one bucket or shard.
"""

import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any, TypeVar

import numpy as np

from pipeline.cluster.connect import connect
from pipeline.cluster.contract import Cluster
from pipeline.cluster.demand import check_absolute
from pipeline.credentials import refuse_credentials
from pipeline.errors import UsageError, say
from pipeline.input.excluded import LeftOut, read_excluded
from pipeline.input.web import check_web_servers
from pipeline.output.lease import Lease, hold
from pipeline.prepare.choose import ASKED_SCHEMA, CANDIDATE_SCHEMA, Choose, Chosen
from pipeline.prepare.direction import describe_direction
from pipeline.prepare.formats import KINDS
from pipeline.prepare.join import TEXT_SCHEMA, Join, Joined
from pipeline.prepare.output import SCRATCH, begin, check_output, finish
from pipeline.prepare.pieces import Piece, cut_pieces
from pipeline.prepare.shards import WriteShard, Written, find_even_bounds
from pipeline.prepare.sizes import Sizes
from pipeline.prepare.sources import Source, list_sources
from pipeline.prepare.spread import STORED_SCHEMAS, Spread
from pipeline.prepare.tell import describe_columns, describe_ids, describe_rows
from pipeline.rank.buckets import BucketReader
from pipeline.storage.folder import Folder, check_writable
from pipeline.storage.urls import make_absolute

PROGRESS_SECONDS = 10.0  # between lines of progress
NO_HASHES = np.zeros(0, np.uint32)
FIGURES = (
    *("queries", "pairs", "shards", "unknown_queries", "unknown_docs", "queries_without_docs", "run_rows"),
    *("unusable_rows", "unknown_query_rows", "excluded_rows", "repeated_rows", "shared_rows", "rows_beyond_depth"),
    *("unknown_doc_rows", "identical_rows"),
    *("unused_queries", "repeated_queries", "conflicting_queries", "corpus_docs", "repeated_docs", "conflicting_docs"),
    *("rows_without_id", "mended_texts"),
)

Result = TypeVar("Result")


@dataclass(frozen=True)
class Arguments:
    """The arguments of jobs/prepare.py. runs: each a file, glob or folder. formats: kind -> format, where names do not
    show it. columns: logical name -> the files' own. lower_is_better: those of the runs whose scores are distances.
    excluded: a file (pipeline/input/excluded.py)."""

    runs: list[str]
    queries: list[str]
    corpus: list[str]
    output: str
    depth: int = 100
    shard_rows: int = 50_000
    formats: dict[str, str] = field(default_factory=dict)
    columns: dict[str, str] = field(default_factory=dict)
    lower_is_better: list[str] = field(default_factory=list)
    drop_identical_ids: bool = False
    excluded: str | None = None
    overwrite: bool = False
    shared_filesystem: bool = False


def prepare(arguments: Arguments, sizes: Sizes = Sizes(), cluster: Cluster | None = None) -> dict[str, Any]:
    """Writes the shards and returns the figures. Raises UsageError, Held or RunError with one line.

    cluster: the machines of the tasks; without it the Ray cluster, which it connects to or starts.
    """
    began = time.perf_counter()
    paths = _list_paths(arguments)
    check_absolute(paths)
    for key, path in paths:
        refuse_credentials(path, key)
    refuse_credentials(arguments.excluded or "", "--excluded")
    listed = read_excluded(arguments.excluded) if arguments.excluded else {}
    left_out = LeftOut(arguments.drop_identical_ids, listed)
    try:
        output = Folder(make_absolute(arguments.output))
    except (ValueError, ImportError) as error:
        raise UsageError(f"--output = {arguments.output!r}: {error}") from None
    files = _list_files(arguments)
    pieces = cut_pieces(files, arguments.columns, sizes)
    check_writable("--output", output.url)
    check_output(output, arguments.overwrite, [source.path for source in files])
    ray = connect(paths, arguments.shared_filesystem, "--shared-filesystem")
    with hold(output) as lease, ray if cluster is None else nullcontext(cluster) as machines:
        begin(output, check_output(output, arguments.overwrite, []))
        figures = _Preparation(arguments, left_out, sizes, machines, output).run(pieces, lease)
        figures["seconds"] = round(time.perf_counter() - began, 1)
        lease.confirm()
        finish(output, figures | {"order": asdict(arguments)})
    return figures


def _list_paths(arguments: Arguments) -> list[tuple[str, str]]:
    inputs = [("--run", arguments.runs), ("--queries", arguments.queries), ("--corpus", arguments.corpus)]
    return [*((key, path) for key, paths in inputs for path in paths), ("--output", arguments.output)]


def _list_files(arguments: Arguments) -> list[Source]:
    files = []
    for number, run in enumerate(arguments.runs):
        lower = run in arguments.lower_is_better
        files += list_sources("run", [run], arguments.formats.get("run"), number, lower)
    files += list_sources("queries", arguments.queries, arguments.formats.get("queries"))
    files += list_sources("corpus", arguments.corpus, arguments.formats.get("corpus"))
    check_web_servers((source.path, source.size) for source in files)
    return files


@dataclass(frozen=True)
class Candidates:
    """The candidates of all queries. buckets: those of each bucket of queries. wanted: hashes of their documents,
    sorted. doc_buckets: how many there are."""

    queries: BucketReader
    buckets: list[Chosen]
    wanted: np.ndarray
    doc_buckets: int

    @cached_property
    def offsets(self) -> np.ndarray:
        """For each bucket of queries the number of its first candidate among all; and at last how many there are."""
        return np.cumsum([0, *(bucket.rows for bucket in self.buckets)])

    @property
    def rows(self) -> int:
        return int(self.offsets[-1])

    @property
    def starts(self) -> np.ndarray:
        """The number of each query's first candidate among all."""
        starts = zip(self.buckets, self.offsets, strict=False)
        return np.concatenate([bucket.starts + offset for bucket, offset in starts])


class _Preparation:
    """The steps, and what all of them need: where they run and write, and the counts of all rows so far."""

    def __init__(self, arguments: Arguments, left_out: LeftOut, sizes: Sizes, cluster: Cluster, output: Folder):
        self.arguments, self.left_out = arguments, left_out
        self.sizes, self.cluster, self.output = sizes, cluster, output
        self.scratch = output.below(SCRATCH)
        self.counts = Counter[str]()

    def run(self, pieces: list[Piece], lease: Lease) -> dict[str, Any]:
        """The figures of the shards that it writes."""
        counts = self.counts
        by_kind = {kind: [piece for piece in pieces if piece.source.kind == kind] for kind in KINDS}
        candidates = self.choose(by_kind)
        self.check_any(candidates.rows, "queries")
        bounds = find_even_bounds(candidates.starts, candidates.rows, self.arguments.shard_rows)
        joined = self.join(by_kind["corpus"], candidates, bounds)
        self.check_any(candidates.rows - counts["unknown_doc_rows"], "docs")
        titles = any(bucket.titles for bucket in joined)
        lease.confirm()
        shards = self.write(candidates, bounds, joined, titles)
        counts["queries"] = sum(shard.queries for shard in shards)
        counts["pairs"] = sum(shard.rows for shard in shards)
        counts["shards"] = sum(shard.name is not None for shard in shards)
        counts["queries_without_docs"] = counts["known_queries"] - counts["queries"]
        return {"output": self.output.url} | {name: counts[name] for name in FIGURES} | {"titles": titles}

    def choose(self, pieces: dict[str, list[Piece]]) -> Candidates:
        arguments, sizes, counts = self.arguments, self.sizes, self.counts
        size = {kind: sum(piece.decoded for piece in found) for kind, found in pieces.items()}
        buckets = sizes.count_query_buckets(size["run"], size["queries"])
        runs = self.spread("run", pieces["run"], buckets)
        if not counts["run_rows"]:
            raise UsageError(f"--run = {', '.join(arguments.runs)}: no rows there")
        queries = self.spread("queries", pieces["queries"], buckets)
        doc_buckets = sizes.count_doc_buckets(size["corpus"], counts["run_rows"])
        task = Choose(
            scratch=self.scratch,
            output=self.output,
            runs=runs,
            queries=queries,
            depth=arguments.depth,
            fused=len(arguments.runs) > 1,
            left_out=self.left_out,
            doc_buckets=doc_buckets,
            block_rows=sizes.block_rows,
        )
        chosen, wanted = _merge_hashes(_report_progress("choose", self.cluster.run(task, range(buckets)), buckets))
        for bucket in chosen:
            counts.update(bucket.counts)
        told = describe_rows(counts, arguments.drop_identical_ids, arguments.excluded)
        for line in [*told, *describe_ids(counts, "queries", counts["run_rows"], self.output.url)]:
            say(line)
        for number, run in enumerate(arguments.runs):
            if line := describe_direction(counts, number, run, run in arguments.lower_is_better):
                say(line)
        return Candidates(queries, chosen, wanted, doc_buckets)

    def join(self, corpus: list[Piece], candidates: Candidates, bounds: np.ndarray) -> list[Joined]:
        docs = self.spread("corpus", corpus, candidates.doc_buckets, candidates.wanted)
        asked = BucketReader(self.scratch, dict(bucket.asked for bucket in candidates.buckets), ASKED_SCHEMA)
        task = Join(self.scratch, self.output, asked, docs, candidates.offsets, bounds, self.sizes.file_bytes)
        buckets = candidates.doc_buckets
        joined = list(_report_progress("join", self.cluster.run(task, range(buckets)), buckets))
        for bucket in joined:
            self.counts.update(bucket.counts)
        for line in describe_ids(self.counts, "docs", candidates.rows, self.output.url):
            say(line)
        return joined

    def write(self, candidates: Candidates, bounds: np.ndarray, joined: list[Joined], titles: bool) -> list[Written]:
        index = {name: index for bucket in joined for name, index in bucket.files.items()}
        first_shard = {name: shard for bucket in joined for name, shard in bucket.first.items()}
        first_block = np.cumsum([0, *(len(bucket.blocks[1]) - 1 for bucket in candidates.buckets)])
        names = (bucket.blocks[0] for bucket in candidates.buckets)
        first_blocks = dict(zip(names, first_block.tolist(), strict=False))
        blocks = dict(bucket.blocks for bucket in candidates.buckets)
        task = WriteShard(
            output=self.output,
            bounds=bounds,
            offsets=candidates.offsets,
            blocks=BucketReader(self.scratch, blocks, CANDIDATE_SCHEMA, first_blocks),
            first_block=first_block,
            block_rows=self.sizes.block_rows,
            queries=candidates.queries,
            texts=BucketReader(self.scratch, index, TEXT_SCHEMA, first_shard),
            titles=titles,
        )
        shards = len(bounds) - 1
        return list(_report_progress("write", self.cluster.run(task, range(shards)), shards))

    def spread(self, kind: str, pieces: list[Piece], buckets: int, wanted: np.ndarray | None = None) -> BucketReader:
        """All rows of a kind, in the order of the input."""
        files: dict[str, np.ndarray] = {}
        task = Spread(self.scratch, buckets, wanted, self.sizes)
        for index, counts in _report_progress(kind, self.cluster.run(task, enumerate(pieces)), len(pieces)):
            files |= index
            self.counts.update(counts)
        if told := describe_columns(self.counts, kind, self.arguments.columns):
            say(told)
        return BucketReader(self.scratch, files, STORED_SCHEMAS[kind])

    def check_any(self, rows: int, what: str) -> None:
        """Raises UsageError where no row remains to be written."""
        if not rows:
            raise UsageError(
                f"no row of the runs has a known {'query' if what == 'queries' else 'document'}: "
                f"{self.counts[f'unknown_{what}']:,} unknown ids, see {self.output.url}/_unknown"
            )


def _merge_hashes(buckets: Iterable[Chosen]) -> tuple[list[Chosen], np.ndarray]:
    """The buckets without their hashes, and all hashes, sorted and each once.

    They are merged whenever as many wait as are merged already, so that each is sorted a few times and few wait."""
    without, wanted, waiting = [], NO_HASHES, []
    for bucket in buckets:
        without.append(bucket._replace(wanted=NO_HASHES))
        waiting.append(bucket.wanted)
        if sum(map(len, waiting)) >= len(wanted):
            wanted, waiting = np.unique(np.concatenate([wanted, *waiting])), []
    return without, np.unique(np.concatenate([wanted, *waiting]))


def _report_progress(what: str, results: Iterable[Result], total: int) -> Iterator[Result]:
    """The results, and on stderr how many there are: when all are there, and every few seconds before."""
    began = shown = time.monotonic()
    for done, result in enumerate(results, 1):
        yield result
        if (now := time.monotonic()) > shown + PROGRESS_SECONDS and done < total:
            shown = now
            print(f"{what:<8} {done:,} of {total:,} parts", file=sys.stderr, flush=True)
    print(f"{what:<8} {total:,} part(s) in {time.monotonic() - began:.1f} s", file=sys.stderr, flush=True)
