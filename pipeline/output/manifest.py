"""The manifest of a result: what a reader, and the person on call, may want to know about how it came to be."""

import importlib.metadata
import platform
from collections import Counter
from datetime import UTC, datetime
from typing import Any

from actors.engines import ENGINE
from pipeline.check.preflight import Checked
from pipeline.plan.plan import Plan

COUNTS = ("rows", "queries", "ranked", "unscored", "rejected", "truncated")
VERSION = importlib.metadata.version


def scored(sums: Counter[str], seconds: dict[str, float], spilled: int | None) -> dict[str, Any]:
    """The figures of this run's scoring: what it scored, at what rate (the engine's start included), and its times.

    sums: over the units scored in this run, and their number as `units_now`. seconds: wall time of each step;
    `engines`, until the first pair was in an engine, is a part of `score`. spilled: see pipeline.cluster.connect.
    """
    pairs = sums["rows"] - sums["failed"] - sums["rejected"]
    if pairs:
        seconds = seconds | {"engines": sums["engines"]}
    return {
        "scored_now": pairs,
        "units_now": sums["units_now"],
        "pairs_per_second": round(pairs / seconds["score"], 1) if pairs else None,
        **{name: sums[name] for name in ("prompt_tokens", "cached_tokens", "new_tokens")},
        "spilled_bytes": spilled,
        "seconds": {name: round(value, 2) for name, value in seconds.items()},
    }


def build(
    checked: Checked,
    plan: Plan,
    tag: str,
    buckets: list[dict[str, Any]],
    scoring: dict[str, Any],
) -> dict[str, Any]:
    """The manifest as JSON-ready data.

    buckets: what each fusing task came to, in the order of the parts. scoring: what `scored` made of this run.
    `figures` is what the job prints as its last line.
    """
    counts = {name: sum(line[name] for line in buckets) for name in COUNTS}
    reasons = sum((Counter(line["reasons"]) for line in buckets), Counter())
    figures = {"output": checked.config.output.path} | counts | scoring
    settings = checked.config.reranker
    return {
        "format": 1,
        "written": datetime.now(UTC).isoformat(timespec="seconds"),
        "tag": tag,
        "figures": figures,
        "reasons": dict(reasons.most_common()),
        "parts": [line["part"] for line in buckets],
        "rejects": [line["rejects"] for line in buckets if line["rejects"]],
        "model": {"name": settings.model, "revision": settings.revision},
        "fingerprint": checked.fingerprint,
        "plan": {"id": plan.id, "revision": plan.revision, "units": len(plan.units)},
        "input": [{"path": path, "size": size} for path, size in plan.places().values()],
        "config": checked.config.model_dump(mode="json"),
        "versions": {
            "python": platform.python_version(),
            "vllm": ENGINE.installed().version,
            **{name: VERSION(name) for name in ("ray", "pyarrow", "transformers")},
        },
    }
