"""The process of a tree: python -m inside.child, in the root of that tree.

Takes cases from stdin and puts what came of them on stdout, each a line of JSON.
"""

import faulthandler
import json
import os
import signal
import sys

import ray

from .cluster import stand
from .steps import take


def main() -> None:
    faulthandler.register(signal.SIGUSR1)  # tells where it stands, should it hang
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever else is printed must not stand between the answers
    print(json.dumps({"ready": True}), file=answers, flush=True)
    for line in sys.stdin:
        steps = json.loads(line)
        if any(map(needs_ray, steps)):
            stand()
        print(json.dumps([take(step) for step in steps]), file=answers, flush=True)
    ray.shutdown()


def needs_ray(step: dict) -> bool:
    """Whether it may come to a run in this process, or one beside it that uses this process's Ray."""
    if step["do"] != "job":
        return step["do"] in ("rerank", "door", "kill")
    return step["job"] in ("rerank", "prepare") and not {"--check", "--dry-run", "--help"} & {*step["arguments"]}


if __name__ == "__main__":
    main()
