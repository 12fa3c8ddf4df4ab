"""How far the run of an output is, what failed and why: python jobs/status.py OUTPUT

OUTPUT is the run's output.path. It only reads, and may be asked at any time. Exit codes: 0 there is a run to tell of,
2 there is none, or OUTPUT holds a credential, 1 the store failed.
"""

import argparse
import gc
import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # it runs from a checkout, nothing is installed

from jobs.ending import Ending
from pipeline.credentials import refuse_credentials
from pipeline.output.status import read_status
from pipeline.storage.folder import Folder
from pipeline.storage.urls import make_absolute


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="jobs/status.py", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("output", help="output.path of the run, a folder or URL")
    parser.add_argument("--json", action="store_true", help="all that is known, as one JSON object")
    options = parser.parse_args(arguments)
    return Ending(caught=(Exception,), subject=options.output).run(lambda: _show(options))


def _show(options: argparse.Namespace) -> int:
    refuse_credentials(options.output, "OUTPUT")
    known = read_status(Folder(make_absolute(options.output)))
    print(json.dumps(known) if options.json else "\n".join(describe_status(known)))
    return 0


def describe_status(known: dict[str, Any]) -> list[str]:
    """The lines for a person."""
    lines = [f"{name}: {line}" for name, stage in known.get("stages", {}).items() for line in describe_status(stage)]
    if result := known["result"]:
        figures = result["figures"]
        lines.append(
            f"result   of {result['written']}: {figures['queries']:,} queries, {figures['ranked']:,} rows ranked, "
            f"{figures['unscored']:,} of them without a score, {figures['rejected']:,} rejected"
        )
    else:
        lines.append("result   none yet")
    for scores in known["scores"]:
        done = f"{scores['rows_scored']:,}"
        if scores["rows"]:
            done += f" of {scores['rows']:,} rows ({scores['rows_scored'] / scores['rows']:.1%})"
        else:
            done += " rows, of a number that no run has said yet"
        lines.append(f"scores   {scores['fingerprint']}: {done}, in {scores['units']:,} units")
        if scores["looked_into"] < scores["units"]:
            lines.append(f"         failures in {scores['looked_into']:,} of these units:")
        lines += [f"         {count:,} x {reason}" for reason, count in scores["reasons"].items()]
    if held := known["held_by"]:
        lines.append(f"held by  {held}")
    return lines


if __name__ == "__main__":
    gc.disable()  # of a hundred thousand names it takes half a second, in a process that ends at once
    sys.exit(main(sys.argv[1:]))
