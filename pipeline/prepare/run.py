"""All of it: cut -> spread the runs and queries -> choose -> spread the corpus -> join -> write the shards.

Both sides of each join are first spread by the same hash of an id, so that a bucket of one needs the same bucket of
the other and no more. Only the documents that a candidate names are spread. What lies between the steps lies in
`_work/` below the output, as bucketed files (pipeline/rank/buckets.py); no task holds more than one bucket or shard.
"""

import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any, TypeVar

import numpy as np

from pipeline.cluster.connect import check_absolute, connected
from pipeline.cluster.tasks import run_tasks
from pipeline.credentials import refuse_credentials
from pipeline.errors import UsageError
from pipeline.output.lease import Lease, hold
from pipeline.prepare.choose import ASKED, CANDIDATES, Choose, Chosen
from pipeline.prepare.formats import KINDS
from pipeline.prepare.join import TEXTS, Join, Joined
from pipeline.prepare.output import WORK, begin, check_output, finish
from pipeline.prepare.pieces import Piece, cut
from pipeline.prepare.shards import WriteShard, Written, even_bounds
from pipeline.prepare.sources import Source, sources
from pipeline.prepare.spread import STORED, Spread
from pipeline.rank.buckets import Bucketed
from pipeline.storage.folder import Folder, check_writable
from pipeline.storage.urls import absolute

QUERY_BUCKET_BYTES = 64 * 2**20  # of runs, or of queries, as they are read
DOC_BUCKET_BYTES = 128 * 2**20  # of the corpus as it is read, were all of it kept
DOC_BUCKET_DOCS = 20_000  # that candidates name: less than this is not worth a bucket
DOC_BUCKET_ASKED = 2_000_000  # rows of candidates that ask for its documents
EVERY = 10.0  # seconds between lines of progress
NO_HASHES = np.zeros(0, np.uint32)
FIGURES = (
    *("queries", "pairs", "shards", "unknown_queries", "unknown_docs", "queries_without_docs", "run_rows"),
    *("unusable_rows", "unknown_query_rows", "repeated_rows", "shared_rows", "rows_beyond_depth", "unknown_doc_rows"),
    *("unused_queries", "repeated_queries", "corpus_docs", "repeated_docs", "mended_texts"),
)

Result = TypeVar("Result")


@dataclass(frozen=True)
class Order:
    """What is asked for. runs: each a file, glob or folder. formats: kind -> format, where names do not tell it.
    columns: logical name -> the files' own."""

    runs: list[str]
    queries: list[str]
    corpus: list[str]
    output: str
    depth: int = 100
    shard_rows: int = 50_000
    formats: dict[str, str] = field(default_factory=dict)
    columns: dict[str, str] = field(default_factory=dict)
    overwrite: bool = False
    shared_filesystem: bool = False


def prepare(order: Order) -> dict[str, Any]:
    """Writes the shards and returns the figures. Raises UsageError, Held or RunError with one line."""
    began = time.perf_counter()
    check_absolute(_paths(order))
    for key, path in _paths(order):
        refuse_credentials(path, key)
    try:
        output = Folder(absolute(order.output))
    except (ValueError, ImportError) as error:
        raise UsageError(f"--output = {order.output!r}: {error}") from None
    files = _sources(order)
    pieces = cut(files, order.columns)
    check_writable("--output", output.url)
    check_output(output, order.overwrite, [source.path for source in files])
    with hold(output) as lease, connected(_paths(order), order.shared_filesystem, "--shared-filesystem"):
        begin(output, check_output(output, order.overwrite, []))
        figures = _prepare(order, output, pieces, lease)
        figures["seconds"] = round(time.perf_counter() - began, 1)
        lease.confirm()
        finish(output, figures | {"order": asdict(order)})
    return figures


def _sources(order: Order) -> list[Source]:
    files = []
    for number, run in enumerate(order.runs):
        files += sources("run", [run], order.formats.get("run"), number)
    files += sources("queries", order.queries, order.formats.get("queries"))
    return files + sources("corpus", order.corpus, order.formats.get("corpus"))


def _prepare(order: Order, output: Folder, pieces: list[Piece], lease: Lease) -> dict[str, Any]:
    work, counts = output.below(WORK), Counter[str]()
    of = {kind: [piece for piece in pieces if piece.source.kind == kind] for kind in KINDS}
    picked = _choose(order, work, output, of, counts)
    _check_any(picked.rows, counts, "queries", output)
    bounds = even_bounds(picked.starts, picked.rows, order.shard_rows)
    joined = _join(work, output, of["corpus"], picked, bounds, counts)
    _check_any(picked.rows - counts["unknown_doc_rows"], counts, "docs", output)
    titles = any(line.titles for line in joined)
    lease.confirm()
    written = _write(work, output, picked, bounds, joined, titles)
    counts["queries"] = sum(line.queries for line in written)
    counts["pairs"] = sum(line.rows for line in written)
    counts["shards"] = sum(line.name is not None for line in written)
    counts["queries_without_docs"] = counts["known_queries"] - counts["queries"]
    return {"output": output.url} | {name: counts[name] for name in FIGURES} | {"titles": titles}


@dataclass(frozen=True)
class Picked:
    """The candidates of all queries. wanted: hashes of their documents, sorted. doc_buckets: how many there are."""

    queries: Bucketed
    chosen: list[Chosen]
    wanted: np.ndarray
    doc_buckets: int

    @cached_property
    def offsets(self) -> np.ndarray:
        """Of each bucket of queries the number of its first candidate among all; and at last how many there are."""
        return np.cumsum([0, *(line.rows for line in self.chosen)])

    @property
    def rows(self) -> int:
        return int(self.offsets[-1])

    @property
    def starts(self) -> np.ndarray:
        """The number of each query's first candidate among all."""
        return np.concatenate([line.starts + at for line, at in zip(self.chosen, self.offsets, strict=False)])


def _choose(order: Order, work: Folder, output: Folder, of: dict[str, list[Piece]], counts: Counter[str]) -> Picked:
    size = {kind: sum(piece.decoded for piece in found) for kind, found in of.items()}
    buckets = max(1, *(-(-size[kind] // QUERY_BUCKET_BYTES) for kind in ("run", "queries")))
    runs = _spread(work, "run", of["run"], buckets, counts)
    if not counts["run_rows"]:
        raise UsageError(f"--run = {', '.join(order.runs)}: no rows there")
    queries = _spread(work, "queries", of["queries"], buckets, counts)
    doc_buckets = doc_bucket_count(size["corpus"], counts["run_rows"])
    task = Choose(work, output, runs, queries, order.depth, len(order.runs) > 1, doc_buckets)
    chosen, wanted = _without_hashes(_watched("choose", run_tasks(task, range(buckets)), buckets))
    for line in chosen:
        counts.update(line.counts)
    return Picked(queries, chosen, wanted, doc_buckets)


def doc_bucket_count(corpus_bytes: int, run_rows: int) -> int:
    """Buckets of documents: so many that neither the documents of one nor what is asked of it are too much, and no more
    than are worth it where a run names few documents of a large corpus."""
    worth = min(-(-corpus_bytes // DOC_BUCKET_BYTES), -(-run_rows // DOC_BUCKET_DOCS))
    return max(1, worth, -(-run_rows // DOC_BUCKET_ASKED))


def _join(
    work: Folder, output: Folder, corpus: list[Piece], picked: Picked, bounds: np.ndarray, counts: Counter[str]
) -> list[Joined]:
    docs = _spread(work, "corpus", corpus, picked.doc_buckets, counts, picked.wanted)
    asked = Bucketed(work, dict(line.asked for line in picked.chosen), ASKED)
    task = Join(work, output, asked, docs, picked.offsets, bounds)
    joined = list(_watched("join", run_tasks(task, range(picked.doc_buckets)), picked.doc_buckets))
    for line in joined:
        counts.update(line.counts)
    return joined


def _write(
    work: Folder, output: Folder, picked: Picked, bounds: np.ndarray, joined: list[Joined], titles: bool
) -> list[Written]:
    files = {name: index for line in joined for name, index in line.files.items()}
    texts = Bucketed(work, files, TEXTS, {name: at for line in joined for name, at in line.first.items()})
    first_block = np.cumsum([0, *(len(line.blocks[1]) - 1 for line in picked.chosen)])
    names = (line.blocks[0] for line in picked.chosen)
    first = dict(zip(names, first_block.tolist(), strict=False))
    blocks = Bucketed(work, dict(line.blocks for line in picked.chosen), CANDIDATES, first)
    task = WriteShard(output, bounds, picked.offsets, blocks, first_block, picked.queries, texts, titles)
    return list(_watched("write", run_tasks(task, range(len(bounds) - 1)), len(bounds) - 1))


def _spread(
    work: Folder, kind: str, pieces: list[Piece], buckets: int, counts: Counter[str], wanted: np.ndarray | None = None
) -> Bucketed:
    """All files of a kind, in the order of the input."""
    files: dict[str, np.ndarray] = {}
    for index, line in _watched(kind, run_tasks(Spread(work, buckets, wanted), enumerate(pieces)), len(pieces)):
        files |= index
        counts.update(line)
    return Bucketed(work, files, STORED[kind])


def _without_hashes(lines: Iterable[Chosen]) -> tuple[list[Chosen], np.ndarray]:
    """The lines, without their hashes, and all hashes, sorted and each once.

    They are put together whenever as many wait as there are, so that each is sorted a few times and few wait."""
    kept, wanted, waiting = [], NO_HASHES, []
    for line in lines:
        kept.append(line._replace(wanted=NO_HASHES))
        waiting.append(line.wanted)
        if sum(map(len, waiting)) >= len(wanted):
            wanted, waiting = np.unique(np.concatenate([wanted, *waiting])), []
    return kept, np.unique(np.concatenate([wanted, *waiting]))


def _check_any(rows: int, counts: Counter[str], what: str, output: Folder) -> None:
    """Raises UsageError where nothing is left to write."""
    if not rows:
        raise UsageError(
            f"no row of the runs has a known {'query' if what == 'queries' else 'document'}: "
            f"{counts[f'unknown_{what}']:,} unknown ids, see {output.url}/_unknown"
        )


def _watched(what: str, results: Iterable[Result], total: int) -> Iterator[Result]:
    """The results, and on stderr how many there are: when it is over, and every few seconds before."""
    began = shown = time.monotonic()
    for done, result in enumerate(results, 1):
        yield result
        if (now := time.monotonic()) > shown + EVERY and done < total:
            shown = now
            print(f"{what:<8} {done:,} of {total:,} parts", file=sys.stderr, flush=True)
    print(f"{what:<8} {total:,} part(s) in {time.monotonic() - began:.1f} s", file=sys.stderr, flush=True)


def _paths(order: Order) -> list[tuple[str, str]]:
    asked = [("--run", order.runs), ("--queries", order.queries), ("--corpus", order.corpus)]
    return [*((key, path) for key, paths in asked for path in paths), ("--output", order.output)]
