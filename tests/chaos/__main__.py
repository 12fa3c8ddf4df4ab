"""Runs that are disturbed on purpose, and end in the result of one that was left alone: python -m tests.chaos

Real Ray, the real commit code, a scorer of known scores (or vLLM itself, for some kinds). A line of the journal tells
each trial; at the end comes a table. A kind that goes wrong is named and the others go on; the exit code is 1 then.
"""

import argparse
import json
import os
import secrets
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

import ray

from tests.chaos.kinds import KINDS
from tests.chaos.lab import ROWS, Lab, Outcome, Wrong
from tests.conftest import ROOT

# Kind -> disturbances; 0 is all there are.
LONG = {
    "steps": 0, "steps_again": 0, "points": 100,
    "actors": 30, "half": 5, "starts": 5, "never": 1, "hangs": 3, "nodes": 20,
    "two": 10, "both": 10,
    "grow": 50, "older": 20,
    "staged": 20, "staged_both": 5,
    "engine": 3, "engine_hangs": 1,
}  # fmt: skip
SHORT = {"steps": 1, "points": 2, "actors": 2, "nodes": 1, "grow": 1}


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(10**6), help="of everything that is drawn")
    parser.add_argument("--short", action="store_true", help="about five minutes, in place of two and a half hours")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, help="these alone")
    parser.add_argument("--rows", type=int, default=ROWS, help="of the runs, but for the inputs that grow")
    parser.add_argument("--journal", type=Path, default=ROOT / "build" / "chaos" / "journal.jsonl")
    options = parser.parse_args(arguments)
    print(f"seed {options.seed}, journal {options.journal}", flush=True)
    options.journal.parent.mkdir(parents=True, exist_ok=True)
    os.environ["PYTHONPATH"] = str(ROOT)  # for the workers of the clusters that start here
    own = tempfile.TemporaryDirectory(prefix="chaos-", ignore_cleanup_errors=True)
    with own as folder, options.journal.open("a") as journal:
        os.environ["RAY_TMPDIR"] = folder  # a cluster of several nodes writes its address there, for all to find
        ray.init("local", num_cpus=2, include_dashboard=False, log_to_driver=False)
        lab = Lab(Path(folder), ray.get_runtime_context().gcs_address, options.seed, options.rows)
        sizes = SHORT if options.short else LONG
        lines = [tried(lab, kind, sizes.get(kind, 1), journal) for kind in options.kinds or sizes]
        ray.shutdown()
    print(table(lines))
    return int(any(line["wrong"] for line in lines))


def tried(lab: Lab, kind: str, wanted: int, journal: TextIO) -> dict[str, Any]:
    """The table's line about a kind, whose trials are written to the journal as they end."""
    began = time.monotonic()
    outcomes: list[Outcome] = []
    wrong = ""
    try:
        for outcome in KINDS[kind](lab, wanted):
            outcomes.append(outcome)
            _tell(journal, {"seed": lab.seed, "kind": kind, **outcome._asdict()})
    except Exception as error:  # a trial that itself failed has shown nothing
        wrong = str(error) if isinstance(error, Wrong) else f"{type(error).__name__}: {error}"
        _tell(journal, {"seed": lab.seed, "kind": kind, "wrong": wrong})
    return {
        "kind": kind,
        "trials": len(outcomes),
        "kills": sum(outcome.kills for outcome in outcomes),
        "units again": sum(outcome.again for outcome in outcomes),
        "at most": sum(outcome.allowed for outcome in outcomes),
        "seconds": round(time.monotonic() - began),
        "result": "WRONG" if wrong else "the same",
        "wrong": wrong,
    }


def _tell(journal: TextIO, line: dict[str, Any]) -> None:
    text = json.dumps(line | {"at": datetime.now(UTC).isoformat(timespec="seconds")})
    print(text, file=journal, flush=True)
    print(text, file=sys.stderr, flush=True)


def table(lines: list[dict[str, Any]]) -> str:
    """One line a kind, and what went wrong below."""
    columns = ["kind", "trials", "kills", "units again", "at most", "seconds", "result"]
    rows = [columns, *([str(line[column]) for column in columns] for line in lines)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(columns))]
    shown = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    return "\n".join(shown + [f"{line['kind']}: {line['wrong']}" for line in lines if line["wrong"]])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
