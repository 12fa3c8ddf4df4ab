"""The demo, from nothing to a table of measures: python -m jobs.demo [--stages] (in the repository's root).

Makes the input, runs the job as anybody would, in a process of its own, and shows what the reranker changed. With
--stages it is the demo of two rerankers, one after the other, which needs the packages of `make demo-stages`. Ends with
the job's exit code."""

import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path

from actors.engines import ENGINES
from jobs.demo.language_model import unpack_language_model
from jobs.demo.prepare import prepare
from jobs.demo.show import show

ROOT = Path(__file__).resolve().parents[2]
CONFIG = "configs/demo.yaml"  # which names demo/pairs.parquet and demo/output
STAGES = "configs/demo-stages.yaml"  # and this one demo/staged
WITHOUT_VLLM = "engine={type: transformers, dtype: float32, max_model_len: 256}"


def main(arguments: list[str]) -> int:
    os.chdir(ROOT)
    prepare(Path("demo"))
    if arguments == ["--stages"]:
        unpack_language_model(Path("demo/packages"), Path("demo/smollm2"))
        report = ["--qrels", "demo/qrels.tsv", "--report", "demo/stages.html"]
        return run("jobs/rerank.py", STAGES) or run("jobs/evaluate.py", "demo/staged", *report)
    engine, overrides = choose_engine()
    print(f"\nThe engine is {engine}")
    if code := run("jobs/rerank.py", CONFIG, *overrides):
        return code
    show(Path("demo"), Path("demo/output"))
    return 0


def run(*command: str) -> int:
    """Runs a job, as anybody would. Returns its exit code."""
    print(f"$ {shlex.join([sys.executable, *command])}", flush=True)
    # Ctrl-C reaches the job too, and is the job's to answer; without this, run() kills it a quarter second later.
    signal.signal(signal.SIGINT, lambda *_: None)
    code = subprocess.run([sys.executable, *command], check=False).returncode
    if code:
        return code if code > 0 else 128 - code  # a signal, as shells number it
    signal.signal(signal.SIGINT, signal.default_int_handler)
    return 0


def choose_engine() -> tuple[str, list[str]]:
    """The engine that is installed, in words, and the overrides that the config needs for it."""
    try:
        return f"vLLM {ENGINES['vllm'].installed().version}", []
    except LookupError:  # there is no build for this machine, or somebody left it out
        return f"transformers {ENGINES['transformers'].installed().version}, as vLLM is not installed", [WITHOUT_VLLM]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
