"""Compares an engine's scores with a reference: python jobs/verify.py CONFIG [dotted.key=value ...]

Some hundred pairs of the config's own input are scored by its engine, in two ways of batching and with the prefix cache
off, and by transformers in float32; or they are compared with scores that were made elsewhere. Prints how far these are
apart, in scores and ranks, and what that usually means. Nothing is written but --json FILE, and no Ray is started.
Exit codes: 0 all differences are within the tolerance; 1 one is not, or an engine failed; 2 the config, the input or an
argument is wrong. The last line on stdout is one JSON object with the figures.
"""

import argparse
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # it runs from a checkout, nothing is installed

from jobs.ending import Ending
from jobs.files import write_text
from jobs.prepare import parse_positive
from pipeline.config import load
from pipeline.credentials import refuse_credentials
from pipeline.errors import UsageError
from pipeline.verify.report import collect_figures, collect_pairs, describe
from pipeline.verify.verify import TRANSFORMERS, verify


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="jobs/verify.py", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    add = parser.add_argument
    add("config", help="a YAML file; see configs/")
    add("overrides", nargs="*", metavar="key=value", help="e.g. input.path=/data/trial engine.dtype=float32")
    add("--rows", type=parse_positive, default=200, metavar="N", help="pairs (default 200)")
    add("--seed", type=int, default=0, metavar="N", help="of the draw (default 0)")
    add(
        "--against", default=TRANSFORMERS, metavar="OUTPUT",
        help="transformers (the default), or scores that were made elsewhere: a file of JSON\n"
        "lines with query_id, doc_id and score, or the output.path of a finished run",
    )  # fmt: skip
    add(
        "--tolerance",
        type=float,
        metavar="X",
        help="largest difference that passes; default: docs/verify.md",
    )
    add("--json", metavar="FILE", help="every figure and every pair's scores as JSON")
    options = parser.parse_intermixed_args(arguments)
    return Ending(caught=(KeyboardInterrupt, Exception)).run(lambda: _verify(options))


def _verify(options: argparse.Namespace) -> int:
    for key in ("against", "json"):
        refuse_credentials(getattr(options, key) or "", f"--{key}")
    if options.rows < 2:
        raise UsageError(f"--rows = {options.rows}: two pairs are needed at least")
    if options.tolerance is not None and not options.tolerance >= 0:
        raise UsageError(f"--tolerance = {options.tolerance}: should be a number from 0 on")
    config = load(options.config, options.overrides)
    verdict = verify(config, options.against, options.rows, options.seed, options.tolerance)
    print(*describe(verdict), sep="\n")
    figures = collect_figures(verdict)
    if options.json:
        write_text(options.json, json.dumps(figures | {"pairs_scored": collect_pairs(verdict)}, indent=1) + "\n")
    print(json.dumps(figures))
    return 1 if verdict.faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
