"""Makes pair shards of a TREC run (or a table), queries and a corpus: what jobs/rerank.py reads.

python jobs/prepare.py --run bm25.trec --queries queries.jsonl --corpus corpus.jsonl --output pairs/
python jobs/prepare.py --run bm25.trec --run dense.parquet --beir scifact/ --output s3://bucket/pairs --depth 200

Paths are files, globs, folders, or any fsspec URL of these; texts may be .gz, .bz2 or .zst. Formats, and what becomes
of every row: docs/prepare.md. Exit codes: 0 done; 2 an argument or the input is wrong; 4 another run writes to this
output; 1 anything else. The last line on stdout is one JSON object with the figures.
"""

import argparse
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # it runs from a checkout, nothing is installed

from jobs.ending import Ending
from pipeline.errors import UsageError
from pipeline.input.match import parse_columns
from pipeline.prepare.formats import FORMATS, KINDS, NAMES
from pipeline.prepare.run import Arguments, prepare
from pipeline.prepare.sources import find_beir_files

ALL = ""  # in place of a path: every run


def main(arguments: list[str]) -> int:
    options = make_parser().parse_args(arguments)
    advice = "the same command starts from the beginning"
    return Ending(caught=(KeyboardInterrupt, Exception), advice=advice).run(lambda: _prepare(options))


def _prepare(options: argparse.Namespace) -> int:
    figures = prepare(read_arguments(options))
    titles = " 'input.columns={title: title}'" if figures["titles"] else ""
    print(f"then: python jobs/rerank.py CONFIG input.path={figures['output']} output.path=...{titles}", file=sys.stderr)
    print(json.dumps(figures))
    return 0


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="jobs/prepare.py", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    add = parser.add_argument
    add("--run", action="append", required=True, metavar="PATH", help="once for each run; several are fused by RRF")
    add("--queries", action="append", default=[], metavar="PATH")
    add("--corpus", action="append", default=[], metavar="PATH")
    add("--beir", metavar="FOLDER", help="a folder with corpus.jsonl and queries.jsonl, in place of the two above")
    add("--output", required=True, metavar="FOLDER")
    add("--depth", type=parse_positive, default=100, help="documents of a query at most (default 100)")
    add("--shard-rows", type=parse_positive, default=50_000, help="pairs of a shard, about (default 50,000)")
    for kind, formats in FORMATS.items():
        add(f"--{kind}-format", choices=formats, help="where the files' names do not tell it")
    columns = f"NAME: {', '.join(NAMES)}; of one input alone, run.doc_id"
    add("--column", action="append", default=[], metavar="NAME=COLUMN", help=columns)
    lower = "the scores are distances: of all runs, or once for each PATH of --run that it holds for"
    add("--lower-is-better", action="append", nargs="?", const=ALL, default=[], metavar="PATH", help=lower)
    add(
        "--drop-identical-ids", action="store_true", help="leave out documents with the id of their query, as BEIR does"
    )
    add(
        "--excluded",
        metavar="FILE",
        help="JSONL or Parquet with query_id and excluded_ids, as in BRIGHT: leave these out",
    )
    add("--overwrite", action="store_true", help="replace the shards that are there")
    add("--shared-filesystem", action="store_true", help="every node of the cluster sees the local paths")
    return parser


def parse_positive(text: str) -> int:
    if (number := int(text)) < 1:
        raise argparse.ArgumentTypeError(f"{number} is below 1")
    return number


def read_arguments(options: argparse.Namespace) -> Arguments:
    if options.beir and (options.queries or options.corpus):
        raise UsageError("--beir stands for --queries and --corpus; give it or them")
    if not options.beir and not (options.queries and options.corpus):
        raise UsageError("give --queries and --corpus, or --beir")
    corpus, queries = options.corpus, options.queries
    if options.beir:
        corpus, queries = ([path] for path in find_beir_files(options.beir))
    columns = parse_columns(
        options.column, NAMES, [f"{kind}.{name}" for kind, names in KINDS.items() for name in names]
    )
    formats = {kind: format for kind in FORMATS if (format := getattr(options, f"{kind}_format"))}
    lower = options.run if ALL in options.lower_is_better else options.lower_is_better
    if others := [path for path in lower if path not in options.run]:
        raise UsageError(
            f"--lower-is-better {others[0]}: is no --run; give one as it is written there, or none for all"
        )
    names = ("output", "depth", "shard_rows", "drop_identical_ids", "excluded", "overwrite")
    fields = {name: getattr(options, name) for name in names}
    return Arguments(
        options.run,
        queries,
        corpus,
        **fields,
        formats=formats,
        columns=columns,
        lower_is_better=lower,
        shared_filesystem=options.shared_filesystem,
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
