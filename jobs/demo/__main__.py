"""The demo, from nothing to a table of measures: python -m jobs.demo (in the repository's root).

Makes the input, runs the job as anybody would, in a process of its own, and shows what the reranker changed. Ends
with the job's exit code."""

import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path

from jobs.demo.prepare import prepare
from jobs.demo.show import show

ROOT = Path(__file__).resolve().parents[2]
CONFIG = "configs/demo.yaml"  # which names demo/pairs.parquet and demo/output


def main() -> int:
    os.chdir(ROOT)
    prepare(Path("demo"))
    command = [sys.executable, "jobs/rerank.py", CONFIG]
    print(f"\n$ {shlex.join(command)}", flush=True)
    # Ctrl-C reaches the job too, and is the job's to answer; without this, run() kills it a quarter second later.
    signal.signal(signal.SIGINT, lambda *_: None)
    code = subprocess.run(command, check=False).returncode
    if code:
        return code if code > 0 else 128 - code  # a signal, as shells number it
    signal.signal(signal.SIGINT, signal.default_int_handler)
    show(Path("demo"), Path("demo/output"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
