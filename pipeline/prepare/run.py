"""All of it: cut -> spread the runs and queries -> choose -> spread the corpus -> join -> write the shards.

Both sides of each join are first spread by the same hash of an id, so that a bucket of one needs the same bucket of
the other and no more. Only the documents that a candidate names are spread. What lies between the steps lies in
`_work/` below the output, as bucketed files (pipeline/buckets.py); no task holds more than one bucket or shard.
"""

import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any, TypeVar

import numpy as np

from pipeline.buckets import Bucketed
from pipeline.cluster import check_absolute, connected
from pipeline.config import USERINFO
from pipeline.errors import UsageError
from pipeline.lease import hold
from pipeline.prepare.choose import ASKED, CANDIDATES, Choose, Chosen
from pipeline.prepare.join import TEXTS, Join, Joined
from pipeline.prepare.output import WORK, begin, check_output, finish
from pipeline.prepare.pieces import Piece, cut
from pipeline.prepare.shards import WriteShard, even_bounds
from pipeline.prepare.sources import Source, sources
from pipeline.prepare.spread import Spread, gathered
from pipeline.storage import Folder, absolute, check_writable
from pipeline.tasks import run_tasks

QUERY_BUCKET_BYTES = 64 * 2**20  # of runs, or of queries, as they are read
DOC_BUCKET_BYTES = 128 * 2**20  # of the corpus as it is read, were all of it kept
DOC_BUCKET_DOCS = 20_000  # that candidates name: less than this is not worth a bucket
EVERY = 10.0  # seconds between lines of progress

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
        if USERINFO.search(path):
            raise UsageError(f"{key}: credentials come from the environment or the machine's role, never from a URL")
    try:
        output = Folder(absolute(order.output))
    except (ValueError, ImportError) as error:
        raise UsageError(f"--output = {order.output!r}: {error}") from None
    files = _sources(order)
    pieces = cut(files, order.columns)
    check_writable("--output", output.url)
    old = check_output(output, order.overwrite, [source.path for source in files])
    with hold(output), connected(_paths(order), order.shared_filesystem, "--shared-filesystem"):
        begin(output, check_output(output, order.overwrite, []) if old else [])
        figures = _prepare(order, output, pieces)
        figures["seconds"] = round(time.perf_counter() - began, 1)
        finish(output, figures | {"order": asdict(order)})
    return figures


def _sources(order: Order) -> list[Source]:
    files = []
    for number, run in enumerate(order.runs):
        files += sources("run", [run], order.formats.get("run"), number)
    files += sources("queries", order.queries, order.formats.get("queries"))
    return files + sources("corpus", order.corpus, order.formats.get("corpus"))


def _prepare(order: Order, output: Folder, pieces: list[Piece]) -> dict[str, Any]:
    work = output.below(WORK)
    of = {kind: [piece for piece in pieces if piece.source.kind == kind] for kind in ("run", "queries", "corpus")}
    size = {kind: sum(piece.decoded for piece in found) for kind, found in of.items()}

    buckets = max(1, *(-(-size[kind] // QUERY_BUCKET_BYTES) for kind in ("run", "queries")))
    runs, run_counts = _spread(work, "run", of["run"], buckets)
    if not run_counts["rows"]:
        raise UsageError(f"--run = {', '.join(order.runs)}: no rows there")
    queries, query_counts = _spread(work, "queries", of["queries"], buckets)
    doc_buckets = min(-(-size["corpus"] // DOC_BUCKET_BYTES), -(-run_counts["rows"] // DOC_BUCKET_DOCS)) or 1
    choose = Choose(work, output, runs, queries, order.depth, len(order.runs) > 1, doc_buckets)
    chosen, wanted = _chosen(_watched("choose", run_tasks(choose, range(buckets)), buckets))
    counts = sum((line.counts for line in chosen), Counter())
    offsets = np.cumsum([0, *(line.rows for line in chosen)])
    _check_any(int(offsets[-1]), counts, "queries", output)
    starts = np.concatenate([line.starts + offset for line, offset in zip(chosen, offsets, strict=False)])
    bounds = even_bounds(starts, int(offsets[-1]), order.shard_rows)

    corpus, doc_counts = _spread(work, "corpus", of["corpus"], doc_buckets, wanted)
    asked = Bucketed(work, dict(line.asked for line in chosen), ASKED)
    join = Join(work, output, asked, corpus, offsets, bounds)
    joined: list[Joined] = list(_watched("join", run_tasks(join, range(doc_buckets)), doc_buckets))
    counts += sum((line.counts for line in joined), Counter())
    _check_any(int(offsets[-1]) - counts["unknown_doc_rows"], counts, "docs", output)

    first_block = np.cumsum([0, *(len(line.blocks[1]) - 1 for line in chosen)])
    first = {line.blocks[0]: int(number) for line, number in zip(chosen, first_block, strict=False)}
    blocks = Bucketed(work, dict(line.blocks for line in chosen), CANDIDATES, first)
    texts = Bucketed(
        work,
        {name: index for line in joined for name, index in line.files.items()},
        TEXTS,
        {name: at for line in joined for name, at in line.first.items()},
    )
    titles = any(line.titles for line in joined)
    write = WriteShard(output, bounds, offsets, blocks, first_block, queries, texts, titles)
    shards = len(bounds) - 1
    written = list(_watched("write", run_tasks(write, range(shards)), shards))
    found = sum(line.queries for line in written)
    return {
        "output": output.url,
        "queries": found,
        "pairs": sum(line.rows for line in written),
        "shards": sum(line.name is not None for line in written),
        "titles": titles,
        **{name: counts[name] for name in ("unknown_queries", "unknown_docs")},
        "queries_without_docs": counts["known_queries"] - found,
        "run_rows": run_counts["rows"],
        "unusable_rows": run_counts["unusable"],
        **{name: counts[name] for name in ("repeated_rows", "unknown_query_rows", "shared_rows", "rows_beyond_depth")},
        "unknown_doc_rows": counts["unknown_doc_rows"],
        "unused_queries": counts["unused_queries"],
        "corpus_docs": doc_counts["rows"],
        **{name: counts[name] for name in ("repeated_queries", "repeated_docs")},
        "mended_texts": query_counts["mended"] + doc_counts["mended"],
    }


def _spread(
    work: Folder, kind: str, pieces: list[Piece], buckets: int, wanted: np.ndarray | None = None
) -> tuple[Bucketed, Counter[str]]:
    results = run_tasks(Spread(work, buckets, wanted), enumerate(pieces))
    return gathered(work, kind, _watched(kind, results, len(pieces)))


def _chosen(lines: Iterable[Chosen]) -> tuple[list[Chosen], np.ndarray]:
    """The lines, without their hashes, and all hashes, sorted and each once.

    They are put together whenever as many wait as there are, so that each is sorted a few times and few wait."""
    kept, wanted, waiting = [], np.zeros(0, np.uint32), []
    for line in lines:
        kept.append(line._replace(wanted=wanted[:0]))
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
