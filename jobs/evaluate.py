"""Judges results of jobs/rerank.py: python jobs/evaluate.py RESULT [RESULT ...] --qrels FILE

RESULT is a run's output.path, a folder or URL; FILE holds judgements as TREC or BEIR write them, a
TSV with header, JSONL or Parquet.
Prints measures of first stage, reranker and fusion with their significance, of several results a leaderboard against
the one named first, and writes report.html. The last line on stdout is one JSON object with the main figures.
Exit codes: 0 done; 2 an argument, a result or the judgements cannot be used; 1 anything else.
"""

import argparse
import json
import sys
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # it runs from a checkout, nothing is installed

from jobs.ending import Ending
from jobs.files import write_text
from pipeline.credentials import refuse_credentials
from pipeline.errors import say
from pipeline.evaluate.evaluation import evaluate
from pipeline.evaluate.measures import DEFAULT_MEASURES, parse_measures
from pipeline.evaluate.paired import PAIRED
from pipeline.evaluate.qrels import NAMES, describe_columns, read_qrels
from pipeline.evaluate.report.page import render_page
from pipeline.evaluate.result import leave_out
from pipeline.evaluate.stages import read_results
from pipeline.evaluate.summary import collect_figures, collect_main_figures
from pipeline.evaluate.table import format_tables
from pipeline.input.excluded import LeftOut, read_excluded
from pipeline.input.match import parse_columns


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="jobs/evaluate.py", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("results", nargs="+", metavar="RESULT", help="output.path of a run")
    parser.add_argument("--qrels", required=True, metavar="FILE", help="judgements")
    parser.add_argument(
        "--measure", action="append", metavar="NAME",
        help="a measure of ir_measures, may be repeated; the first one chooses alpha\n"
        f"(default: {' '.join(DEFAULT_MEASURES)})",
    )  # fmt: skip
    parser.add_argument("--report", default="report.html", metavar="FILE", help="default: report.html, in this folder")
    parser.add_argument("--json", metavar="FILE", help="every figure as JSON")
    parser.add_argument(
        "--paired", action="append", default=[], choices=PAIRED, metavar="NAME",
        help="a measure over pairs of queries, may be repeated: p-MRR (FollowIR), accuracy (NevIR)",
    )  # fmt: skip
    parser.add_argument(
        "--drop-identical-ids", action="store_true", help="leave out documents with the id of their query, as BEIR does"
    )
    parser.add_argument(
        "--excluded",
        metavar="FILE",
        help="JSONL or Parquet with query_id and excluded_ids, as in BRIGHT: leave these out",
    )
    parser.add_argument(
        "--column", action="append", default=[], metavar="NAME=COLUMN",
        help=f"of the judgements, where two fit one name or none does; NAME: {', '.join(NAMES)}",
    )  # fmt: skip
    options = parser.parse_args(arguments)
    return Ending().run(lambda: _evaluate(options))


def _evaluate(options: argparse.Namespace) -> int:
    for key in ("qrels", "report", "json", "excluded"):
        refuse_credentials(getattr(options, key) or "", f"--{key}")
    refuse_credentials(options.results, "RESULT")
    measures = parse_measures(options.measure or DEFAULT_MEASURES)
    given, taken = parse_columns(options.column, NAMES), Counter[tuple[str, str]]()
    qrels = read_qrels(options.qrels, given, taken)
    if told := describe_columns(taken, given):
        say(told)
    rule = LeftOut(options.drop_identical_ids, read_excluded(options.excluded) if options.excluded else {})
    evaluations = [
        evaluate(name, leave_out(result, rule), qrels, measures, options.paired)
        for name, result in read_results(options.results, qrels).items()
    ]
    print("\n".join(format_tables(evaluations)))
    write_text(options.report, render_page(evaluations, qrels, options.qrels))
    if options.json:
        write_text(options.json, json.dumps(collect_figures(evaluations, qrels), indent=1) + "\n")
    print(f"\nreport: {options.report}")
    print(json.dumps(collect_main_figures(evaluations) | {"report": options.report}))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
