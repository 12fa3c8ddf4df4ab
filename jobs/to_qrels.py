"""Writes a judge's result as TREC qrels: python jobs/to_qrels.py RESULT --output FILE

RESULT is the output.path of a finished run of jobs/rerank.py (docs/judging.md). A pair without a score has no line; how
many there are of each reason is said. With --against it prints how far other judgements of the same pairs agree
(confusion matrix, Cohen's kappa), and with --runs how each system stands under both (Kendall's tau). Exit codes: 0
done; 2 an argument or an input is wrong; 1 anything else. The last line on stdout is one JSON object with the figures.
"""

import argparse
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # it runs from a checkout, nothing is installed

from jobs.ending import Ending
from pipeline.credentials import refuse_credentials
from pipeline.judge.grade import Grading
from pipeline.judge.run import MEASURE, Arguments, judge


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="jobs/to_qrels.py", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    add = parser.add_argument
    add("result", metavar="RESULT", help="output.path of the run, a folder or URL")
    add("--output", required=True, metavar="FILE", help="qrels; what is there is replaced")
    add("--round", action="store_true", help="scores are rounded to whole numbers, a half up")
    add(
        "--thresholds", type=float, nargs="+", default=[], metavar="T",
        help="the grade is how many of these a score reaches: 0.5 1.5 2.5 makes 0 to 3",
    )  # fmt: skip
    add("--score", default=Arguments.score, metavar="COLUMN", help=f"default {Arguments.score}")
    add("--against", metavar="QRELS", help="other judgements, in any form that jobs/evaluate.py reads")
    add("--min-grade", type=int, default=1, metavar="G", help="grade from which a pair is relevant (default 1)")
    add("--runs", nargs="+", default=[], metavar="RUN", help="systems: TREC runs, by their names' ends, or results")
    add("--measure", default=MEASURE, metavar="NAME", help=f"of the systems (default {MEASURE})")
    options = parser.parse_args(arguments)
    return Ending(caught=(Exception,), subject=options.result).run(lambda: _write(options))


def _write(options: argparse.Namespace) -> int:
    for key in ("output", "against", "runs"):
        refuse_credentials(getattr(options, key) or "", f"--{key}")
    refuse_credentials(options.result, "RESULT")
    lines, figures = judge(
        Arguments(
            result=options.result,
            output=options.output,
            grading=Grading(options.round, tuple(options.thresholds)),
            score=options.score,
            against=options.against,
            least_grade=options.min_grade,
            runs=tuple(options.runs),
            measure=options.measure,
        )
    )
    print("\n".join(lines))
    print(json.dumps(figures))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
