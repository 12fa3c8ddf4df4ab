"""Re-ranks (query, document, first-stage score) rows in Parquet: python jobs/rerank.py CONFIG [dotted.key=value ...]

Exit codes: 0 done; 2 the config or the input's schema is wrong; 3 more rows failed than run.max_failed; 4 another live
run holds this output; 1 anything else. Progress goes to stderr; the last line on stdout is one JSON object with the
run's figures.
"""

import argparse
import json
import sys
import traceback
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # it runs from a checkout, nothing is installed

from pipeline.check import survey
from pipeline.config import load
from pipeline.errors import RunError, StoreError, root_cause
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
    options = parser.parse_intermixed_args(arguments)
    kept = KEPT
    try:
        config = load(options.config, options.overrides)
        kept = KEPT if config.run.on_existing == "resume" else WITHOUT_RESTART
        if options.check:
            good, unknown = survey(config)
            print(f"{options.config}: nothing wrong in what can be checked here")
            print(*(f"checked: {line}" for line in good), *(f"not checked: {line}" for line in unknown), sep="\n")
            return 0
        figures = rerank(config)
    except StoreError as error:
        print(f"rayrank: {' '.join(str(error).splitlines())}; {kept}", file=sys.stderr)
        return error.exit_code
    except RunError as error:
        print("rayrank:", *str(error).splitlines(), file=sys.stderr)  # names in it may hold line breaks
        return error.exit_code
    except KeyboardInterrupt:
        print(f"rayrank: interrupted; {kept}", file=sys.stderr)
        return 1
    except Exception as error:
        traceback.print_exc()
        print(f"rayrank: {root_cause(error)}; {kept}", file=sys.stderr)
        return 1
    print(json.dumps(figures))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
