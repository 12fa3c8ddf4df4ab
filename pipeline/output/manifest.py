"""The manifest of a result: how it was made, for its readers and the person on call."""

import importlib.metadata
import platform
from collections import Counter
from datetime import UTC, datetime
from typing import Any

from actors.engines import get_engine
from actors.rerankers.contract import WINDOW_FIGURES
from pipeline.check.preflight import Checked
from pipeline.config.stages import Position
from pipeline.input.columns import IDS
from pipeline.input.listing import InputFile
from pipeline.plan.changes import Changes
from pipeline.rows import Part

BUCKET_COUNTS = (
    "rows", "queries", "ranked", "unscored", "rejected", "equal", "transient", "truncated", "late", "deleted",
)  # fmt: skip


def summarize_scoring(sums: Counter[str], seconds: dict[str, float], spilled: int | None) -> dict[str, Any]:
    """The figures of this run's scoring: pairs, pairs per second (including the engine's start), and times.

    sums: figures of the units scored in this run, added up, their number as `units_now`, and as `taken` the scores
    of units whose pairs were all known by their texts. seconds: wall time of each
    step; `engines`, until the first pair was in an engine, is a part of `score`. spilled: bytes that Ray wrote to disk.
    """
    pairs = sums["rows"] - sums["failed"] - sums["rejected"] - sums["known"] - sums["deleted"]
    if pairs:
        seconds = seconds | {"engines": sums["engines"]}
    return {
        "scored_now": pairs,
        "reused": sums["known"] + sums["taken"],
        "units_now": sums["units_now"],
        "pairs_per_second": round(pairs / seconds["score"], 1) if pairs else None,
        **{name: sums[name] for name in ("prompt_tokens", "cached_tokens", "new_tokens", "equal_prompts")},
        "passages": sums["passages"] or None,
        "windows": {name: sums[name] for name in WINDOW_FIGURES} if sums["windows"] else None,
        "label_share": round(sums["label_share"] / sums["label_replies"], 6) if sums["label_replies"] else None,
        "spilled_bytes": spilled,
        "seconds": {name: round(value, 2) for name, value in seconds.items()},
    }


def build_manifest(
    checked: Checked,
    columns: dict[str, str],
    files: list[InputFile],
    rows: list[int],
    changes: Changes,
    units: dict[str, int],
    result_id: str,
    parts: list[Part],
    scoring: dict[str, Any],
) -> dict[str, Any]:
    """The manifest as JSON-ready data.

    columns: logical name -> column in the files, for those that were read. rows: of each file. changes: of the files
    since the result before. units: fingerprint -> its score files that were used. parts: in their order. scoring: the
    result of `summarize_scoring`. The job prints `figures` as its last line.
    """
    counts = {name: sum(getattr(part.counts, name) for part in parts) for name in BUCKET_COUNTS}
    reasons = sum((Counter(part.counts.reasons) for part in parts), Counter())
    odd = Counter[str]()
    for part in parts:
        odd.update(part.counts.odd)
    figures = {"output": checked.config.output.path} | counts | odd | scoring
    settings, engine = checked.config.reranker, get_engine(checked.config.engine)
    manifest: dict[str, Any] = {
        "format": 1,
        "written": datetime.now(UTC).isoformat(timespec="seconds"),
        "tag": result_id,
        "figures": figures,
        "reasons": dict(reasons.most_common()),
        "parts": [part.part for part in parts],
        "rejects": [part.rejects for part in parts if part.rejects],
        "model": {"name": settings.model, "revision": settings.revision},
        "fingerprint": checked.fingerprint,
        "units": units,
        "run": checked.run_id,
        "input": [_describe_file(file, count) for file, count in zip(files, rows, strict=True)],
        "columns": dict.fromkeys(IDS) | columns,  # an id without one is a hash of the text
        "passed_over": dict(checked.passed_over.most_common(100)),
        "changes": {name: len(paths) for name, paths in changes._asdict().items()},
        "config": checked.config.model_dump(mode="json"),
        "versions": {
            "python": platform.python_version(),
            engine.name.lower(): engine.installed().version,
            **{name: importlib.metadata.version(name) for name in ("ray", "pyarrow", "transformers")},
        },
    }
    if checked.config.input.table:
        manifest["table"] = checked.config.input.table.model_dump(mode="json")
    if checked.position:
        _add_stages(manifest, checked.position, parts)
    return manifest


def _describe_file(file: InputFile, rows: int) -> dict[str, Any]:
    """rows: with those that are deleted from its table."""
    about = {"path": file.path, "size": file.size, "version": file.version, "rows": rows}
    return about | {"deleted": file.deleted_rows} if file.deleted_rows else about


def _add_stages(manifest: dict[str, Any], position: Position, parts: list[Part]) -> None:
    """Adds to the manifest of one stage: the files of rows that do not go on; or, if it is the last one,
    what stages there are, their figures, and the config of them all."""
    if not position.is_last:
        manifest["rest"] = [part.rest for part in parts]
        return
    stages = [*(before.about for before in position.before), describe_stage(position, manifest)]
    manifest["stages"] = [{name: about[name] for name in about if name not in ("figures", "table")} for about in stages]
    manifest |= {"table": stages[0]["table"]} if "table" in stages[0] else {}
    manifest["figures"] |= {"stages": {about["name"]: about["figures"] for about in stages[:-1]}}
    config, whole = manifest["config"], position.whole.model_dump(mode="json")
    output = whole["output"] | {"path": config["output"]["path"]}
    manifest["config"] = config | {"input": whole["input"], "output": output, "stages": whole["stages"]}


def describe_stage(position: Position, manifest: dict[str, Any]) -> dict[str, Any]:
    """The entry of a stage in the manifest of the whole result. manifest: of the stage's own result."""
    named: dict[str, Any] = {
        name: manifest[name] for name in ("tag", "fingerprint", "model", "figures", "table") if name in manifest
    }
    return {"name": position.stage.name, **named, "parts": len(manifest["parts"])}
