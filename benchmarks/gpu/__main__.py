"""Checks of rayrank on a GPU: .venv/bin/python -m benchmarks.gpu exactness|speed [NAME ...] [--cpu] [--tiny]

Each check runs in a process of its own and prints one line of JSON; README.md, beside this file, says how to read it.
  exactness  scores against transformers, generations, and whether scores depend on what is scored beside them
  speed      the job against vLLM alone and against the card's rate, one measure at a time
NAME is a check, or the beginning of several: `lb-bf16`, `rankinggpt`, `0.5B`. The exit code is 1 if a check failed.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from benchmarks.gpu import determinism, exactness, speed
from benchmarks.gpu.card import describe_machine
from benchmarks.gpu.engines import Machine
from benchmarks.gpu.processes import end_checks_with_this_process, run_apart, run_here

AT_ONCE = 4  # checks of exactness on a GPU: most of their time is a core's
CHECK_SECONDS = 900.0  # the most for a check of exactness; 7B by transformers takes minutes
LARGE = {"label-0.5B-bf16", "label-4B-bf16", "label-7B-bf16"}  # they have the card to themselves
NOT_ON_CPU = LARGE | {"rankinggpt-bloom-fp16-triton"}

Check = Callable[[str, Machine], dict[str, Any]]
CHECKS: dict[str, dict[str, Check]] = {
    "exactness": {
        "machine": describe_machine,
        **dict.fromkeys(exactness.CASES, exactness.compare_scores),
        "generate": exactness.generate,
        **dict.fromkeys(determinism.COMPANY, determinism.compare_company),
    },
    "speed": {"machine": describe_machine, **dict.fromkeys(speed.MEASURES, speed.measure)},
}
TINY = {
    "exactness": [
        "machine",
        "lb-fp32",
        "rankinggpt-llama2-bf16",
        "rankinggpt-llama2-fp32-chunked",
        "label-overhead-bf16",
        "generate",
        "deterministic",
        "company",
    ],
    "speed": ["machine", *speed.TINY],
}


def choose(command: str, names: list[str], machine: Machine) -> list[str]:
    """The checks to run. names: of checks, or beginnings of names; none for those that suit the machine."""
    checks = CHECKS[command]
    if machine.tiny and not names:
        return TINY[command]
    if not names:
        default = [*checks] if command == "exactness" else ["machine", *speed.DEFAULT]
        return [name for name in default if machine.device == "cuda" or name not in NOT_ON_CPU]
    chosen: list[str] = []
    for name in names:
        found = [name] if name in checks else [check for check in checks if check.startswith(name)]
        if not found:
            sys.exit(f"{name}: no check of {command} begins so; there are {', '.join(checks)}")
        chosen += found
    return [*dict.fromkeys(chosen)]


def run_checks(options: argparse.Namespace, machine: Machine, names: list[str]) -> list[dict[str, Any]]:
    """Runs checks and prints the line of each as it ends. Returns the lines."""
    began, lines = time.monotonic(), []
    seconds: dict[str, float] = {}  # of the measures of speed so far

    def run(name: str) -> None:
        left = options.seconds - (time.monotonic() - began)
        arguments = [options.command, "--one", name, *["--cpu"] * options.cpu, *["--tiny"] * options.tiny]
        line = run_apart(arguments, min(left, CHECK_SECONDS) if options.command == "exactness" else left)
        if "seconds" in line:
            seconds[name] = line["seconds"]
            line |= speed.compare_speed(name, seconds)
        lines.append({"check": name, "at": round(time.monotonic() - began, 1)} | line)
        print(json.dumps(lines[-1]), flush=True)
        if options.json:
            options.json.parent.mkdir(parents=True, exist_ok=True)
            options.json.write_text("".join(json.dumps(line) + "\n" for line in lines))

    alone = [name for name in names if name in LARGE or options.command == "speed"]
    with ThreadPoolExecutor(AT_ONCE if machine.device == "cuda" else 1) as pool:
        list(pool.map(run, [name for name in names if name not in alone]))
    for name in alone:
        run(name)
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="benchmarks.gpu", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("command", choices=CHECKS)
    parser.add_argument("names", nargs="*", metavar="NAME", help="checks to run")
    parser.add_argument("--cpu", action="store_true", help="on the CPU, without a GPU")
    parser.add_argument("--tiny", action="store_true", help="a few checks with the smallest models")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="the most that all checks may take")
    parser.add_argument("--json", type=Path, help="a file for the lines as well")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_intermixed_args()
    machine = Machine("cpu" if options.cpu else "cuda", options.tiny)
    if options.one:
        run_here(lambda: CHECKS[options.command][options.one](options.one, machine))
    end_checks_with_this_process()
    lines = run_checks(options, machine, choose(options.command, options.names, machine))
    sys.exit(any(line["ok"] is False for line in lines))


if __name__ == "__main__":
    main()
