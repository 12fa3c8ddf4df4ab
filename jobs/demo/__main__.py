"""The demo, from nothing to a table of measures: python -m jobs.demo (in the repository's root).

Makes the input, runs the job as anybody would, in a process of its own, and shows what the reranker changed. Ends
with the job's exit code."""

import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path

from actors.engines import ENGINES
from jobs.demo.prepare import prepare
from jobs.demo.show import show

ROOT = Path(__file__).resolve().parents[2]
CONFIG = "configs/demo.yaml"  # which names demo/pairs.parquet and demo/output
WITHOUT_VLLM = "engine={type: transformers, dtype: float32, max_model_len: 256}"


def main() -> int:
    os.chdir(ROOT)
    prepare(Path("demo"))
    engine, overrides = choose_engine()
    print(f"\nThe engine is {engine}")
    command = [sys.executable, "jobs/rerank.py", CONFIG, *overrides]
    print(f"$ {shlex.join(command)}", flush=True)
    # Ctrl-C reaches the job too, and is the job's to answer; without this, run() kills it a quarter second later.
    signal.signal(signal.SIGINT, lambda *_: None)
    code = subprocess.run(command, check=False).returncode
    if code:
        return code if code > 0 else 128 - code  # a signal, as shells number it
    signal.signal(signal.SIGINT, signal.default_int_handler)
    show(Path("demo"), Path("demo/output"))
    return 0


def choose_engine() -> tuple[str, list[str]]:
    """The engine that is installed, in words, and the overrides that the config needs for it."""
    try:
        return f"vLLM {ENGINES['vllm'].installed().version}", []
    except LookupError:  # there is no build for this machine, or somebody left it out
        return f"transformers {ENGINES['transformers'].installed().version}, as vLLM is not installed", [WITHOUT_VLLM]


if __name__ == "__main__":
    sys.exit(main())
