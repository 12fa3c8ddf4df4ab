"""Re-ranks (query, document, first-stage score) rows in Parquet: python jobs/rerank.py CONFIG [dotted.key=value ...]

Exit codes: 0 done; 2 the config or the input's schema is wrong; 3 more rows failed than run.max_failed; 4 another live
run holds this output; 1 anything else. Progress goes to stderr; the last line on stdout is one JSON object with the
run's figures.
"""

import argparse
import json
import signal
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # it runs from a checkout, nothing is installed

from jobs.ending import Ending
from pipeline.check.survey import survey
from pipeline.config import Config, load
from pipeline.errors import UsageError
from pipeline.estimate.dry_run import dry_run
from pipeline.estimate.rate import make_rate, read_rate
from pipeline.estimate.stages import describe_stage, dry_run_stages, read_stage_rates
from pipeline.estimate.text import describe_estimate
from pipeline.run import rerank

KEPT = "what was scored is kept, and the same command goes on from there"
WITHOUT_RESTART = "what was scored is kept; without run.on_existing=restart the same command goes on from there"


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="jobs/rerank.py", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("config", help="a YAML file; see configs/")
    parser.add_argument(
        "overrides", nargs="*", metavar="key=value", help="e.g. fusion.alpha=0.3 output.path=s3://bucket/ranked"
    )
    parser.add_argument(
        "--check", action="store_true", help="validate the config, the input's schema and the model's files, and stop"
    )
    estimate = parser.add_argument_group(
        "what a run would take",
        "Nothing is scored or written; whether output.path can be written is probed, as by --check and a run,\n"
        "by a put and a delete of `.rayrank`.",
    )
    estimate.add_argument("--dry-run", action="store_true", help="count pairs and tokens, estimate hours and memory")
    estimate.add_argument("--from-manifest", metavar="OUTPUT", help="the output of an earlier run, for its rate")
    estimate.add_argument("--pairs-per-second", type=float, metavar="N", help="the rate of one worker")
    estimate.add_argument("--gpu-hour-price", type=float, metavar="PRICE", help="of one GPU, in any currency")
    options = parser.parse_intermixed_args(arguments)
    if options.from_manifest and options.pairs_per_second is not None:
        parser.error("--from-manifest and --pairs-per-second: give one of them")
    if not options.dry_run and (options.from_manifest or options.pairs_per_second or options.gpu_hour_price):
        parser.error("--from-manifest, --pairs-per-second and --gpu-hour-price go with --dry-run")
    # Ray makes a SystemExit of SIGTERM, and so does this file before there is a Ray.
    ending = Ending(caught=(KeyboardInterrupt, SystemExit, Exception), advice=KEPT, resumable=True)
    return ending.run(lambda: _rerank(options, ending))


def _rerank(options: argparse.Namespace, ending: Ending) -> int:
    config = load(options.config, options.overrides)
    if config.run.on_existing != "resume":
        ending.advice = WITHOUT_RESTART
    if options.check:
        good, unknown = survey(config)
        print(f"{options.config}: nothing wrong in what can be checked here")
        print(*(f"checked: {line}" for line in good), *(f"not checked: {line}" for line in unknown), sep="\n")
        return 0
    figures = _dry_run(config, options) if options.dry_run else rerank(config)
    print(json.dumps(figures))
    return 0


def _dry_run(config: Config, options: argparse.Namespace) -> dict[str, Any]:
    if config.stages:
        if options.pairs_per_second is not None:
            raise UsageError(
                f"--pairs-per-second = {options.pairs_per_second:g}: is the rate of one worker, and each stage has its "
                "own; --from-manifest OUTPUT takes those of an earlier run with these stages"
            )
        rates = read_stage_rates(options.from_manifest, config) if options.from_manifest else {}
        stages = dry_run_stages(config, rates, options.gpu_hour_price)
        print(*(line for name, about in stages["stages"].items() for line in describe_stage(name, about)), sep="\n")
        return stages
    rate = None
    if options.from_manifest:
        rate = read_rate(options.from_manifest, config)
    elif options.pairs_per_second is not None:
        rate = make_rate(options.pairs_per_second)
    about = dry_run(config, rate, options.gpu_hour_price)
    print(*describe_estimate(about), sep="\n")
    return about


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(number))  # as ray.init does later, and from the beginning
    sys.exit(main(sys.argv[1:]))
