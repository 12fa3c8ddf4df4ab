"""Compares what two checkouts do: python -m tests.compare --old ../old [--new .] [--only KIND ...]

Both are given the same cases, each in a process of its own with a local Ray, and nothing of the project is imported
here: what is compared are results, files, messages and exit codes. Prints each difference that is not meant (those that
are stand in inside/meant.py and expected.py), and a table of the kinds.
Exit codes: 0 no difference, 1 there are some, 2 the arguments are wrong.
"""

import argparse
import shutil
import signal
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from .case import Place
from .expected import select_meant
from .kinds import KINDS
from .side import Side
from .verdict import Tally, differences, notes, table, told


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.compare", description=__doc__)
    parser.add_argument("--old", type=Path, required=True, help="root of the checkout to compare with")
    parser.add_argument("--new", type=Path, default=Path(), help="default: this folder")
    parser.add_argument("--only", nargs="+", choices=KINDS, metavar="KIND", help=", ".join(KINDS))
    parser.add_argument("--case", default="", metavar="TEXT", help="only cases with this in their name")
    parser.add_argument("--seed", type=int, default=1, help="of everything that is drawn")
    parser.add_argument("--cases", type=int, metavar="N", help="at most this number of each kind")
    parser.add_argument("--cpus", type=int, default=2, help="of each tree's Ray (default 2)")
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(number))  # nothing is to be left then, either
    folder = Path(tempfile.mkdtemp(prefix="compare-", dir="/tmp"))  # a short name: Ray puts sockets below it
    sides = [Side(name, root, folder, options.cpus) for name, root in (("old", options.old), ("new", options.new))]
    tallies = []
    try:
        for kind in options.only or KINDS:
            place = Place(folder / "in" / kind, options.old.resolve(), options.seed, options.cases)
            place.folder.mkdir(parents=True)
            tallies.append(compared(kind, place, sides, options.case))
    finally:
        for side in sides:
            side.end()
        shutil.rmtree(folder, ignore_errors=True)
    print(table(tallies))
    return int(any(tally.different for tally in tallies))


def compared(kind: str, place: Place, sides: list[Side], wanted: str) -> Tally:
    """The outcomes of both sides for the cases of a kind. Differences are printed as they are found."""
    tally, began = Tally(kind), time.monotonic()
    cases = [case for case in KINDS[kind](place) if wanted in case.name][: place.cases]
    pools = [ThreadPoolExecutor(1) for _ in sides]
    try:
        asked = [[pool.submit(side.answer, case) for case in cases] for pool, side in zip(pools, sides, strict=True)]
        for case, of_old, of_new in zip(cases, *asked, strict=True):
            old, new = of_old.result(), of_new.result()
            tally.cases += 1
            if sys.stderr.isatty():
                print(f"{kind}: {tally.cases} of {len(cases)}", end="\r", file=sys.stderr, flush=True)
            tally.prints += notes(old) != notes(new)
            found, meant = select_meant(f"{kind} / {case.name}", differences(old, new))
            tally.meant.update(meant)
            if found:
                tally.different.append((case.name, found))
                print(told(kind, case.name, found), flush=True)
    finally:
        for pool in pools:
            pool.shutdown(wait=False, cancel_futures=True)
    tally.seconds = time.monotonic() - began
    print(f"{kind}: {tally.cases} cases, {len(tally.different)} different, {tally.seconds:.0f} s", flush=True)
    shutil.rmtree(place.folder, ignore_errors=True)
    return tally


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
