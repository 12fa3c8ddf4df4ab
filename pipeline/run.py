"""A whole run: plan -> read -> order -> prompt -> score -> put -> merge -> fuse -> rank -> commit."""

import hashlib
import json
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from actors.worker.actor import Scorer
from pipeline.check.preflight import Checked, check
from pipeline.cluster.connect import cluster, spilled_bytes
from pipeline.cluster.tasks import run_tasks
from pipeline.config import Config
from pipeline.errors import RunError, StoreError, TooManyFailed, UsageError
from pipeline.input.columns import carried
from pipeline.input.listing import list_inputs
from pipeline.output import manifest
from pipeline.output.commit import begin, commit, committed, complete, discard, sweep
from pipeline.output.lease import Held, Lease, hold
from pipeline.plan.draft import Draft, Planning, Work
from pipeline.plan.existing import drafted, standing_plan, stored_scores, sweep_scores
from pipeline.plan.plan import Plan
from pipeline.plan.replan import changed_while_read
from pipeline.plan.rounds import Newest, newest, next_rounds
from pipeline.plan.work import planned_work
from pipeline.rank.gather import texts_of
from pipeline.rank.merge import score_rows, sweep_merged
from pipeline.rank.part import FuseBucket, RankBucket
from pipeline.say import say
from pipeline.score.files import bucket_count
from pipeline.score.progress import Progress
from pipeline.score.stream import score_units

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
    stored = stored_scores(checked)
    plan = standing_plan(checked, stored)
    units = newest(stored)
    work = plan if isinstance(plan, Draft) else planned_work(plan, next_rounds(plan.unit_names(), units))
    standing = committed(checked.output)
    seconds = {"plan": time.perf_counter() - began}
    if isinstance(plan, Plan) and standing and not work.tasks and standing["tag"] == _tag(checked, plan, units):
        if complete(checked.output, standing):
            _check_standing(checked, plan, standing)
            _tidy(checked, plan, standing, lease)
            return standing["figures"] | manifest.scored(Counter(), seconds, 0)
        say("parts of the result that stands are gone; it is made anew from its scores")
    with cluster(checked.config), _blaming_changes(checked, plan):
        seconds["start"] = time.perf_counter() - began - sum(seconds.values())
        before = spilled_bytes()
        scoring, plan = _score(checked, plan, work, scorer, lease)
        after = spilled_bytes()
        spilled = None if before is None or after is None else after - before
        seconds["score"] = time.perf_counter() - began - sum(seconds.values())
        lease.confirm()
        fusing = _fusing(checked, plan)
        lease.confirm()  # merging takes its time
        others = committed(checked.output)
        if others and others != standing and others["tag"] == fusing.tag and complete(checked.output, others):
            _check_standing(checked, plan, others)
            say("another run has put the same result meanwhile; it stands")
            _tidy(checked, plan, others, lease)
            return others["figures"] | manifest.scored(scoring, seconds, spilled)
        begin(checked.output)
        if work.tasks:
            discard(checked.output, fusing.tag)
        buckets = sorted(run_tasks(fusing, range(fusing.buckets)), key=lambda line: line["part"])
        seconds["fuse"] = time.perf_counter() - began - sum(seconds.values())
    _check_failed(checked, plan, buckets)
    _check_unchanged(checked, plan)  # while it was read, too
    lease.confirm()
    result = manifest.build(checked, plan, fusing.tag, buckets, manifest.scored(scoring, seconds, spilled))
    commit(checked.output, result)
    _tidy(checked, plan, result, lease)
    return result["figures"]


@contextmanager
def _blaming_changes(checked: Checked, plan: Plan | Draft) -> Iterator[None]:
    """What cannot be decoded may be another file by now: then that is what the error says."""
    try:
        yield
    except UsageError:
        _check_unchanged(checked, plan)
        raise


def _check_unchanged(checked: Checked, plan: Plan | Draft) -> None:
    """Raises RunError where a file of the input changed while it was read. Its scores go: were it put back as it was,
    a later run would take them, and what was made of them, for its own."""
    changed = changed_while_read(plan.versions(), list_inputs(checked.config.input.path))
    if not changed:
        return
    if isinstance(plan, Plan):  # of a draft no result is begun, and its score files are known by number alone
        stored = checked.scores.files()
        units = {*plan.units.filter(pc.is_in(plan.units["path"], pa.array(changed)))["unit"].to_pylist()}
        checked.scores.delete([name for name in stored if name.partition(".")[0] in units])
    raise RunError(
        f"{changed[0]}: has changed while the run read it ({len(changed)} such files); the same command scores what "
        "changed anew"
    )


def _tidy(checked: Checked, plan: Plan, result: dict[str, Any], lease: Lease) -> None:
    """Deletes what a result that stands has no use for. It stands whatever becomes of that."""
    try:
        lease.confirm()  # what is left over from this result may be another's by now
        sweep(checked.output, result)
        sweep_merged(checked.scores)
        sweep_scores(checked.scores, plan)
    except (StoreError, Held) as error:
        say(f"the result stands; what is left over goes with the next run: {error}")


def _tag(checked: Checked, plan: Plan, units: dict[str, Newest]) -> str:
    """The hash of what makes the result from the scores. It names the parts."""
    config = checked.config
    later = [units[name].file for name in plan.unit_names() if name in units and units[name].round]
    what = [FORMAT, plan.id, plan.revision, later, config.fusion.model_dump()]
    what += [config.output.model_dump(exclude={"path"}), carried(config)]
    return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:12]


def _score(checked: Checked, plan: Plan | Draft, work: Work, scorer: type, lease: Lease) -> tuple[Counter[str], Plan]:
    """Scores what is missing, and shows how far it is. Returns the sums of its figures, and the plan: of a draft, the
    one that it has become by then."""
    sums: Counter[str] = Counter()
    if isinstance(plan, Plan) and not work.tasks:
        return sums, plan
    sweep_merged(checked.scores)  # of a run that had every unit: what is scored anew may have the same name and size
    reasons: Counter[str] = Counter()
    known = plan if isinstance(plan, Plan) else None
    planning = Planning(plan) if isinstance(plan, Draft) else None
    lines = score_units(checked, work, scorer)
    with Progress(work.rows, work.before, about=known is None) as progress, closing(lines):
        for line in lines:
            reasons.update(json.loads(line.pop("reasons")))
            line.pop("unit")
            sums.update(line, units_now=line["rows"] > 0)  # else its scores were there
            bad, tokens = line["failed"] + line["rejected"], line["prompt_tokens"] + line["new_tokens"]
            progress.add(line["size"], tokens, bad, line["seconds"])
            if planning and not known and planning.ready():
                known = _planned(planning, checked, lease)
                progress.of(known.rows)
            if known:
                _check_share(checked, known, sums["failed"] + sums["rejected"], reasons)
            lease.check()
        sums["engines"] = progress.waited  # type: ignore[assignment]
    if planning and not known:
        known = _planned(planning, checked, lease)
    assert known
    return sums, known


def _planned(planning: Planning, checked: Checked, lease: Lease) -> Plan:
    """The plan that the run's draft has become, which is put."""
    plan = planning.plan()
    lease.confirm()
    return drafted(plan, checked.scores)


def _fusing(checked: Checked, plan: Plan) -> FuseBucket:
    """The task that fuses, ranks and puts a bucket: the scores are merged, and the carried columns read, before."""
    config = checked.config
    stored = checked.scores.files()
    there, units = newest(stored), plan.unit_names()
    files = [there[unit].file if unit in there else f"{unit}.parquet" for unit in units]
    try:
        sizes = checked.scores.sizes(files, stored)
    except FileNotFoundError as error:
        raise RunError(
            f"{error}: has gone; does another run write to this output? The same command goes on from here"
        ) from None
    tag = _tag(checked, plan, there)
    explain, columns = config.output.explain, carried(config)
    buckets = bucket_count(plan.rows, explain, bool(columns))
    rank = RankBucket(
        read=score_rows(checked.scores, plan.id, sizes, plan.unit_rows().tolist(), buckets, explain),
        fusion=config.fusion,
        top_k=config.output.top_k,
    )
    return FuseBucket(
        rank=rank,
        output=checked.output,
        files=plan.places(),
        columns=columns,
        texts=texts_of(rank, columns, plan, checked.scores, buckets, tag) if columns else None,
        explain=explain,
        tag=tag,
        buckets=buckets,
    )


def _check_failed(checked: Checked, plan: Plan, buckets: list[dict[str, Any]]) -> None:
    """Raises if rows were lost on the way, or too many have no score; the result is not committed then."""
    if (rows := sum(line["rows"] for line in buckets)) != plan.rows:
        raise RunError(
            f"the plan has {plan.rows:,} rows and the score files have {rows:,}: this is a bug, please report it"
        )
    reasons = sum((Counter(line["reasons"]) for line in buckets), Counter())
    _check_share(checked, plan, sum(line["unscored"] + line["rejected"] for line in buckets), reasons)


def _check_standing(checked: Checked, plan: Plan, result: dict[str, Any]) -> None:
    """The same of a result that is committed, maybe under another run.max_failed."""
    _check_failed(checked, plan, [result["figures"] | {"reasons": result["reasons"]}])


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
