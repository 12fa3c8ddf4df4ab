"""A whole run: plan -> read -> order -> prompt -> score -> put -> merge -> fuse -> rank -> commit."""

import hashlib
import json
import re
import time
from collections import Counter
from contextlib import closing
from typing import Any

import numpy as np

from actors.scorer import Scorer
from pipeline import manifest
from pipeline.carry import carried
from pipeline.check import Checked, check
from pipeline.cluster import cluster, spilled_bytes
from pipeline.commit import begin, commit, committed, sweep
from pipeline.config import Config
from pipeline.errors import RunError, TooManyFailed, UsageError
from pipeline.fuse import FuseBucket
from pipeline.inputs import list_inputs
from pipeline.lease import Lease, hold
from pipeline.merge import score_rows, sweep_merged
from pipeline.plan import Plan, check_unchanged, make_plan, unit_rows
from pipeline.progress import Progress
from pipeline.score import score_units
from pipeline.scores import bucket_count
from pipeline.tasks import run_tasks

PLAN = "plan.parquet"
SCORES = re.compile(r"scores/[0-9a-f]{16}/")  # what a run writes, and a restart deletes
FORMAT = 1  # of the result: raised when the same scores come to another result, so that no older one stands for it


def rerank(config: Config, scorer: type = Scorer) -> dict[str, Any]:
    """Runs a config to a committed result and returns the run's figures.

    scorer: the class of the actors; tests of the dataflow put one without an engine in its place.
    Scores that are there already are kept; a result that is there already, made from the same scores by the same
    fusion, stands. Raises UsageError, TooManyFailed, Held or RunError, each with one line for the person on call.
    """
    began = time.perf_counter()
    checked = check(config)
    with hold(checked.output) as lease:
        return _rerank(checked, scorer, lease, began)


def _rerank(checked: Checked, scorer: type, lease: Lease, began: float) -> dict[str, Any]:
    stored = _stored_scores(checked)
    plan = _plan(checked, stored)
    tag = _tag(checked, plan)
    standing = committed(checked.output)
    if standing and standing["tag"] == tag:
        _check_failed(checked, plan, [standing["figures"] | {"reasons": standing["reasons"]}])
        sweep(checked.output, standing)
        sweep_merged(checked.scores)
        return standing["figures"] | manifest.scored(Counter(), {"plan": time.perf_counter() - began}, 0)
    seconds = {"plan": time.perf_counter() - began}
    with cluster(checked.config):
        seconds["start"] = time.perf_counter() - began - sum(seconds.values())
        before = spilled_bytes()
        scoring = _score(checked, plan, stored, scorer, lease)
        after = spilled_bytes()
        spilled = None if before is None or after is None else after - before
        seconds["score"] = time.perf_counter() - began - sum(seconds.values())
        lease.confirm()
        buckets = _fuse(checked, plan, tag)
        seconds["fuse"] = time.perf_counter() - began - sum(seconds.values())
    _check_failed(checked, plan, buckets)
    check_unchanged(plan, list_inputs(checked.config.input.path))  # while they were read, too
    lease.confirm()
    result = manifest.build(checked, plan, tag, buckets, manifest.scored(scoring, seconds, spilled))
    commit(checked.output, result)
    sweep_merged(checked.scores)
    return result["figures"]


def _stored_scores(checked: Checked) -> dict[str, int]:
    """Name -> size of the files under this run's fingerprint. Scores under another one are refused, or thrown away."""
    stored = {name: size for name, size in checked.output.files("scores/").items() if SCORES.match(name)}
    if checked.config.run.on_existing == "restart":
        begin(checked.output)
        checked.output.delete([name for name in stored if not name.endswith(f"/{PLAN}")])
        checked.output.delete([name for name in stored if name.endswith(f"/{PLAN}")])
        return {}
    mine = f"scores/{checked.fingerprint}/"
    if stored and not any(name.startswith(mine) for name in stored):
        other = next(iter(stored)).split("/")[1]
        raise UsageError(
            f"output.path = {checked.config.output.path!r}: holds scores of another model, prompt or setting "
            f"(fingerprint {other}, this run's is {checked.fingerprint}); choose another output.path, or "
            "run.on_existing=restart to throw those scores away"
        )
    own = {name.removeprefix(mine): size for name, size in stored.items() if name.startswith(mine)}
    if PLAN not in own:
        checked.scores.delete(list(own))  # units of a plan that is gone: nobody knows which rows they are
        return {}
    return own


def _plan(checked: Checked, stored: dict[str, int]) -> Plan:
    """The plan of these scores: the one that is there, else a new one, of which the first put stays."""
    if PLAN not in stored:
        checked.scores.put_new(PLAN, make_plan(checked.config, checked.files, unit_rows(checked.config)).to_bytes())
    plan = Plan.from_bytes(checked.scores.read(PLAN))
    check_unchanged(plan, checked.files)
    return plan


def _tag(checked: Checked, plan: Plan) -> str:
    """The hash of what makes the result from the scores. It names the parts."""
    config = checked.config
    what = [FORMAT, plan.id, config.fusion.model_dump(), config.output.model_dump(exclude={"path"}), carried(config)]
    return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:12]


def _score(checked: Checked, plan: Plan, stored: dict[str, int], scorer: type, lease: Lease) -> Counter[str]:
    """Scores the units that are missing, and shows how far it is. Returns the sums of their figures."""
    names, rows = plan.units["unit"].to_pylist(), plan.unit_rows()
    missing = [f"{name}.parquet" not in stored for name in names]
    todo = [bounds for bounds in plan.slab_bounds() if any(missing[slice(*bounds)])]
    sums: Counter[str] = Counter()
    if not todo:
        return sums
    sweep_merged(checked.scores)  # of a run that had every unit: what is scored anew may have the same name and size
    reasons: Counter[str] = Counter()
    lines = score_units(checked, plan, todo, scorer)
    with Progress(plan.rows, int(rows[~np.array(missing)].sum())) as progress, closing(lines):
        for line in lines:
            reasons.update(json.loads(line.pop("reasons")))
            line.pop("unit")
            sums.update(line)
            bad = line["failed"] + line["rejected"]
            progress.add(line["rows"], line["prompt_tokens"] + line["new_tokens"], bad, line["seconds"])
            _check_share(checked, plan, sums["failed"] + sums["rejected"], reasons)
            lease.check()
    return sums


def _fuse(checked: Checked, plan: Plan, tag: str) -> list[dict[str, Any]]:
    """Fuses and ranks every bucket. The standing result is taken back first."""
    config = checked.config
    stored = checked.scores.files()
    units = [f"{name}.parquet" for name in plan.units["unit"].to_pylist()]
    if lost := [name for name in units if name not in stored]:
        raise RunError(
            f"{len(lost)} of {len(units)} units have no scores, {lost[0]} first; the same command goes on from here"
        )
    begin(checked.output)
    explain = config.output.explain
    buckets = bucket_count(plan.rows, explain)
    sizes = {name: stored[name] for name in units}
    task = FuseBucket(
        read=score_rows(checked.scores, plan.id, sizes, plan.unit_rows().tolist(), buckets, explain),
        output=checked.output,
        files=plan.places(),
        fusion=config.fusion,
        top_k=config.output.top_k,
        columns=carried(config),
        explain=explain,
        tag=tag,
    )
    return sorted(run_tasks(task, range(buckets)), key=lambda line: line["part"])


def _check_failed(checked: Checked, plan: Plan, buckets: list[dict[str, Any]]) -> None:
    """Raises if rows were lost on the way, or too many have no score; the result is not committed then."""
    if (rows := sum(line["rows"] for line in buckets)) != plan.rows:
        raise RunError(
            f"the plan has {plan.rows:,} rows and the score files have {rows:,}: this is a bug, please report it"
        )
    reasons = sum((Counter(line["reasons"]) for line in buckets), Counter())
    _check_share(checked, plan, sum(line["unscored"] + line["rejected"] for line in buckets), reasons)


def _check_share(checked: Checked, plan: Plan, failed: int, reasons: Counter[str]) -> None:
    """Raises TooManyFailed, with the commonest reasons, where more rows failed than the config allows."""
    allowed = checked.config.run.max_failed
    if failed > allowed * plan.rows:
        most = ", ".join(f"{count:,} x {reason}" for reason, count in reasons.most_common(5))
        most += f", and {len(reasons) - 5} reasons more" if len(reasons) > 5 else ""
        raise TooManyFailed(
            f"{failed:,} of {plan.rows:,} rows have no reranker score, "
            f"more than run.max_failed = {allowed} allows: {most}. What was scored is kept: with a higher "
            "run.max_failed the same command goes on from here"
        )
