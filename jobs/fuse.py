"""Mixes results of the same queries into one: python jobs/fuse.py RESULT RESULT [...] --output FOLDER

RESULT is the output.path of a finished run of jobs/rerank.py, or of this job; --run adds a TREC run (or a table). Each
candidate gets the weighted sum of its values by --method: reciprocal ranks (rrf), or scores that are scaled per query
(zscore, ...: docs/fuse.md). A candidate that an input does not have, or has no score for, counts there like the last
one of its query. The columns beside the scores are those of the first result.
Exit codes: 0 done; 2 an argument or an input is wrong; 4 another run writes to this output; 1 anything else. The last
line on stdout is one JSON object with the figures.
"""

import argparse
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # it runs from a checkout, nothing is installed

from jobs.ending import Ending
from jobs.prepare import parse_positive
from pipeline.ensemble.part import Arguments
from pipeline.ensemble.run import MIXING, fuse


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="jobs/fuse.py", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    add = parser.add_argument
    add("results", nargs="+", metavar="RESULT", help="output.path of a run, or the --output of this job")
    add("--run", action="append", default=[], dest="runs", metavar="PATH", help="once for each run")
    add("--output", required=True, metavar="FOLDER")
    add("--method", default="rrf", help=f"{', '.join(MIXING)} (default rrf)")
    add("--k", type=parse_positive, default=60, help="the constant of rrf (default 60)")
    add(
        "--weights",
        nargs="+",
        type=float,
        default=[],
        metavar="W",
        help="of results, then runs, in order; default 1",
    )
    lower = "once for each PATH of --run whose scores are distances"
    add("--lower-is-better", action="append", default=[], metavar="PATH", help=lower)
    add("--top-k", type=parse_positive, default=None, metavar="K", help="rows kept per query")
    add("--shared-filesystem", action="store_true", help="every node of the cluster sees the local paths")
    options = parser.parse_args(arguments)
    advice = "the same command starts again"
    return Ending(caught=(KeyboardInterrupt, Exception), advice=advice).run(lambda: _fuse(options))


def _fuse(options: argparse.Namespace) -> int:
    print(json.dumps(fuse(Arguments(**vars(options)))))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
