"""Writes a result as a TREC run: python jobs/to_trec.py RESULT RUNFILE

RESULT is the output.path of a finished run of jobs/rerank.py; both may be any fsspec URL. The order is that of `rank`:
scores fall strictly within each query, also as the 32-bit floats that trec_eval makes of them. Exit codes: 0 done; 2
there is no finished result, or an id has white space; 1 anything else. The last line on stdout is one JSON object.
"""

import argparse
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # it runs from a checkout, nothing is installed

from jobs.ending import Ending
from pipeline.credentials import refuse_credentials
from pipeline.errors import UsageError
from pipeline.output.trec import write_trec
from pipeline.storage.urls import make_absolute


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="jobs/to_trec.py", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("result", help="output.path of the run, a folder or URL")
    parser.add_argument("run_file", metavar="RUNFILE", help="what is there is replaced")
    parser.add_argument("--tag", default="rayrank", help="the last column (default rayrank)")
    options = parser.parse_args(arguments)
    return Ending(caught=(Exception,), subject=options.result).run(lambda: _write(options))


def _write(options: argparse.Namespace) -> int:
    refuse_credentials(options.result, "RESULT")
    refuse_credentials(options.run_file, "RUNFILE")
    if len(options.tag.split()) != 1 or options.tag != options.tag.strip():
        raise UsageError(f"--tag = {options.tag!r}: is empty or has white space in it, which a TREC run cannot hold")
    counts = write_trec(make_absolute(options.result), make_absolute(options.run_file), options.tag)
    print(json.dumps({"run_file": options.run_file} | counts))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
