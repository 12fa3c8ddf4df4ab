"""Writes a result as training data: python jobs/to_training.py RESULT --positives QRELS --output FOLDER

RESULT is the output.path of a finished run with output.columns: [query, doc]. The documents of a query that QRELS
judges relevant are its positives, and others its hard negatives, with the scores of the reranker as a teacher's: for
sentence-transformers (--format triplet or labeled-list) or FlagEmbedding (docs/training-data.md). Exit codes: 0 done; 2
an argument or an input is wrong; 1 anything else. The last line on stdout is one JSON object with the figures: what was
written, and what was dropped for which reason.
"""

import argparse
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # it runs from a checkout, nothing is installed

from jobs.ending import Ending
from pipeline.credentials import refuse_credentials
from pipeline.storage.urls import make_absolute
from pipeline.training.choose import SAMPLES, Choice
from pipeline.training.run import Arguments, write_training_data
from pipeline.training.shapes import ENCODERS, SHAPES


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="jobs/to_training.py", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    add = parser.add_argument
    add("result", metavar="RESULT", help="output.path of the run, a folder or URL")
    add("--positives", required=True, metavar="QRELS", help="judgements, in any form that jobs/evaluate.py reads")
    add("--output", required=True, metavar="FOLDER", help="a new one")
    add("--format", default="triplet", help=f"{', '.join(SHAPES)} (default triplet)")
    add("--file", default="parquet", help=f"{', '.join(ENCODERS)} (default parquet)")
    add("--negatives", type=int, default=8, metavar="N", help="of a query, at most (default 8)")
    add("--sample", default="top", help=f"which of the possible ones: {', '.join(SAMPLES)} (default top)")
    add("--seed", type=int, default=0, help="of what is drawn (default 0)")
    add(
        "--ranks", type=int, nargs=2, metavar=("FIRST", "LAST"), default=Choice.ranks, help="of negatives (default all)"
    )
    add("--margin", type=float, metavar="M", help="a negative scores at least M less than the lowest positive")
    add("--relative-margin", type=float, metavar="R", help="at least this share of it less: 0.05 is NV-Retriever's")
    add("--min-positive-score", type=float, metavar="S", help="a positive below it is dropped")
    add("--min-grade", type=int, default=1, metavar="G", help="grade from which a document is a positive (default 1)")
    add("--score", default="rerank_score", metavar="COLUMN", help="the teacher's (default rerank_score)")
    add("--query-column", default="query", metavar="COLUMN", help="default query")
    add("--doc-column", default="doc", metavar="COLUMN", help="default doc")
    options = parser.parse_args(arguments)
    return Ending(caught=(Exception,), subject=options.result).run(lambda: _write(options))


def _write(options: argparse.Namespace) -> int:
    for value, name in ((options.result, "RESULT"), (options.positives, "--positives"), (options.output, "--output")):
        refuse_credentials(value, name)
    figures = write_training_data(
        Arguments(
            result=make_absolute(options.result),
            positives=options.positives,
            output=make_absolute(options.output),
            shape=options.format,
            file=options.file,
            score=options.score,
            least_grade=options.min_grade,
            query=options.query_column,
            doc=options.doc_column,
        ),
        Choice(
            negatives=options.negatives,
            ranks=tuple(options.ranks),
            margin=options.margin,
            relative_margin=options.relative_margin,
            least_positive=options.min_positive_score,
            sample=options.sample,
            seed=options.seed,
        ),
    )
    print(json.dumps(figures))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
