"""A whole run: plan -> read -> order -> prompt -> score -> put -> merge -> rank -> write -> commit."""

import hashlib
import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from actors.worker.actor import Scorer
from pipeline.check.preflight import Checked, check
from pipeline.cluster.connect import Cluster, connect_for_run
from pipeline.cluster.tasks import watch_steps
from pipeline.config import Config
from pipeline.errors import RunError, StoreError, TooManyFailed, UsageError, say
from pipeline.input.columns import select_carried
from pipeline.input.listing import list_inputs
from pipeline.output.commit import commit, discard_parts, has_all_parts, read_result, sweep, withdraw_result
from pipeline.output.lease import Held, Lease, hold
from pipeline.output.manifest import build_manifest, summarize_scoring
from pipeline.plan.draft import Draft, Work, finish_draft
from pipeline.plan.existing import (
    delete_scores,
    delete_stale_scores,
    find_plan,
    list_score_files,
    list_stored,
    put_drafted,
)
from pipeline.plan.plan import Plan
from pipeline.plan.replan import find_changed_while_read
from pipeline.plan.rounds import Newest, find_newest, find_next_rounds
from pipeline.plan.work import select_work
from pipeline.rank.gather import gather_carried
from pipeline.rank.merge import count_buckets, delete_merged, merge_scores
from pipeline.rank.part import RankBucket, WritePart
from pipeline.score.progress import Progress
from pipeline.score.stream import score_units
from pipeline.sizes import Sizes
from pipeline.storage.folder import Folder

RESULT_VERSION = 1  # raised when the same scores make another result, so that no older one stands for it


def rerank(
    config: Config,
    scorer: type = Scorer,
    cluster: Cluster | None = None,
    sizes: Sizes = Sizes(),
    hold: Callable[[Folder], AbstractContextManager[Lease]] = hold,
) -> dict[str, Any]:
    """Runs a config to a committed result and returns the run's figures.

    scorer: the class of the actors; tests of the dataflow put one without an engine in its place. cluster: where it
    runs; None connects to Ray. hold: takes the lease of the output.
    Scores that are there already are kept; a result that is there already, made from the same scores by the same
    fusion, stands. Raises UsageError, TooManyFailed, Held or RunError, each with one line for the person on call.
    """
    began = time.perf_counter()
    checked = check(config)
    with hold(checked.output) as lease:
        return Run(checked, scorer, cluster, sizes, lease, began).make_result()


class Run:
    """One run of a checked config. began: when, by time.perf_counter."""

    def __init__(
        self, checked: Checked, scorer: type, cluster: Cluster | None, sizes: Sizes, lease: Lease, began: float
    ):
        self._checked, self._config, self._scorer = checked, checked.config, scorer
        self._cluster, self._sizes, self._lease = cluster, sizes, lease
        self._began, self._seconds = began, dict[str, float]()

    def make_result(self) -> dict[str, Any]:
        """Plans, scores, ranks and commits what is not there yet. Returns the run's figures."""
        output, config = self._checked.output, self._config
        if config.run.on_existing == "restart":
            stored = list_score_files(self._checked)
            withdraw_result(output)
            delete_scores(self._checked, stored)
            stored = []
        else:
            stored = list_stored(self._checked)
        plan, units = find_plan(self._checked, stored, self._sizes), find_newest(stored)
        work = plan if isinstance(plan, Draft) else self._select_work(plan, units)
        standing = read_result(output)
        self._time("plan")
        if isinstance(plan, Plan) and standing and not work.tasks and standing["tag"] == self._result_id(plan, units):
            if has_all_parts(output, standing):
                return self._keep(plan, standing, Counter(), 0)
            say("parts of the result that stands are gone; it is made anew from its scores")
        with self._connect() as cluster, self._explain_changes(plan):
            self._time("start")
            before = cluster.read_spilled_bytes()
            scoring, plan = self._score(plan, work, cluster)
            after = cluster.read_spilled_bytes()
            spilled = None if before is None or after is None else after - before
            self._time("score")
            self._lease.confirm()
            write, buckets = self._prepare_writing(plan, cluster)
            self._lease.confirm()  # merging takes its time
            others = read_result(output)
            if others and others != standing and others["tag"] == write.result_id and has_all_parts(output, others):
                words = "another run has put the same result meanwhile; it stands"
                return self._keep(plan, others, scoring, spilled, words)
            withdraw_result(output)
            if work.tasks:
                discard_parts(output, write.result_id)
            parts = sorted(cluster.run(write, range(buckets)))
            self._time("fuse")
        counts = [part.counts for part in parts]
        self._check_failed(
            plan,
            sum(count.rows for count in counts),
            sum(count.unscored + count.rejected for count in counts),
            sum((Counter(count.reasons) for count in counts), Counter()),
        )
        self._check_unchanged(plan)  # while it was read, too
        self._lease.confirm()
        figures = summarize_scoring(scoring, self._seconds, spilled)
        result = build_manifest(self._checked, plan, write.result_id, parts, figures)
        commit(output, result)
        self._tidy(plan, result)
        return result["figures"]

    def _time(self, step: str) -> None:
        """Notes the seconds since the step before ended."""
        self._seconds[step] = time.perf_counter() - self._began - sum(self._seconds.values())

    def _connect(self) -> AbstractContextManager[Cluster]:
        return nullcontext(self._cluster) if self._cluster else connect_for_run(self._config)

    def _select_work(self, plan: Plan, units: dict[str, Newest]) -> Work:
        return select_work(plan, find_next_rounds(plan.unit_names(), units), self._sizes)

    def _keep(
        self, plan: Plan, result: dict[str, Any], scoring: Counter[str], spilled: int | None, words: str = ""
    ) -> dict[str, Any]:
        """The figures of a result that stands, made under another run.max_failed maybe."""
        figures = result["figures"]
        failed = figures["unscored"] + figures["rejected"]
        self._check_failed(plan, figures["rows"], failed, Counter(result["reasons"]))
        if words:
            say(words)
        self._tidy(plan, result)
        return figures | summarize_scoring(scoring, self._seconds, spilled)

    @contextmanager
    def _explain_changes(self, plan: Plan | Draft) -> Iterator[None]:
        """Files that cannot be decoded may have been replaced: then that is what the error says."""
        try:
            yield
        except UsageError:
            self._check_unchanged(plan)
            raise

    def _check_unchanged(self, plan: Plan | Draft) -> None:
        """Raises RunError where a file of the input changed while it was read. Its scores are deleted: were it put back
        as it was, a later run would take them, and what was made of them, for its own."""
        changed = find_changed_while_read(plan.versions(), list_inputs(self._config.input.path))
        if not changed:
            return
        if isinstance(plan, Plan):  # a draft has no result, and its score files are known by number alone
            scores = self._checked.scores
            units = {*plan.units.filter(pc.is_in(plan.units["path"], pa.array(changed)))["unit"].to_pylist()}
            scores.delete([name for name in scores.files() if name.partition(".")[0] in units])
        raise RunError(
            f"{changed[0]}: has changed while the run read it ({len(changed)} such files); the same command scores "
            "what changed anew"
        )

    def _tidy(self, plan: Plan, result: dict[str, Any]) -> None:
        """Deletes what a result that stands has no use for. It stands whatever becomes of that."""
        try:
            self._lease.confirm()  # what is left over from this result may be another's by now
            sweep(self._checked.output, result)
            delete_merged(self._checked.scores)
            delete_stale_scores(self._checked.scores, plan, self._sizes)
        except (StoreError, Held) as error:
            say(f"the result stands; what is left over goes with the next run: {error}")

    def _result_id(self, plan: Plan, units: dict[str, Newest]) -> str:
        """The hash of what makes the result from the scores. It names the parts."""
        config = self._config
        later = [units[name].file for name in plan.unit_names() if name in units and units[name].round]
        what = [RESULT_VERSION, plan.id, plan.revision, later, config.fusion.model_dump()]
        what += [config.output.model_dump(exclude={"path"}), select_carried(config)]
        return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:12]

    def _score(self, plan: Plan | Draft, work: Work, cluster: Cluster) -> tuple[Counter[str], Plan]:
        """Scores what is missing, and shows how far it is. Returns the sums of its figures, and the plan: for a draft,
        the one that it has become by then."""
        sums: Counter[str] = Counter()
        if isinstance(plan, Plan) and not work.tasks:
            return sums, plan
        # What is left of a run that had every unit: a unit that is scored again may have the same name and size.
        delete_merged(self._checked.scores)
        reasons: Counter[str] = Counter()
        known = plan if isinstance(plan, Plan) else None
        planning = cluster.start(finish_draft, plan, watch_steps) if isinstance(plan, Draft) else None
        units = score_units(self._checked, work, self._scorer, cluster, self._sizes)
        with Progress(work.rows, work.before, about=known is None) as progress, closing(units):
            for unit in units:
                reasons.update(json.loads(unit.reasons))
                sums.update(unit.sums())
                tokens = unit.prompt_tokens + unit.new_tokens
                progress.add(unit.size, int(tokens), unit.failed + unit.rejected, unit.seconds)
                if planning and not known and planning.is_ready():
                    known = self._put_plan(planning.wait())
                    progress.of(known.rows)
                if known:
                    self._check_share(known, sums["failed"] + sums["rejected"], reasons)
                self._lease.check()
            sums["engines"] = progress.waited  # type: ignore[assignment]
        if planning and not known:
            known = self._put_plan(planning.wait())
        assert known
        return sums, known

    def _put_plan(self, plan: Plan) -> Plan:
        """Puts the plan that the run's draft has become."""
        self._lease.confirm()
        return put_drafted(plan, self._checked.scores)

    def _prepare_writing(self, plan: Plan, cluster: Cluster) -> tuple[WritePart, int]:
        """The task that writes a bucket, and how many there are. Merges scores and gathers carried columns before."""
        config, scores, sizes = self._config, self._checked.scores, self._sizes
        stored = scores.files()
        there, units = find_newest(stored), plan.unit_names()
        files = [there[unit].file if unit in there else f"{unit}.parquet" for unit in units]
        try:
            score_files = scores.sizes(files, stored)
        except FileNotFoundError as error:
            raise RunError(
                f"{error}: has gone; does another run write to this output? The same command goes on from here"
            ) from None
        result_id = self._result_id(plan, there)
        explain, columns = config.output.explain, select_carried(config)
        buckets = count_buckets(plan.rows, sizes, explain, bool(columns))
        rows = plan.unit_rows().tolist()
        rank = RankBucket(
            read=merge_scores(scores, plan.id, score_files, rows, buckets, explain, cluster, sizes),
            fusion=config.fusion,
            top_k=config.output.top_k,
        )
        carried = gather_carried(rank, columns, plan, scores, buckets, result_id, cluster, sizes) if columns else None
        write = WritePart(
            rank=carried.rank if carried else rank,
            output=self._checked.output,
            files=plan.places(),
            columns=columns,
            read_carried=carried.read_carried if carried else None,
            explain=explain,
            result_id=result_id,
        )
        return write, buckets

    def _check_failed(self, plan: Plan, rows: int, failed: int, reasons: Counter[str]) -> None:
        """Raises if rows were lost on the way, or too many have no score; the result is not committed then."""
        if rows != plan.rows:
            raise RunError(
                f"the plan has {plan.rows:,} rows and the score files have {rows:,}: this is a bug, please report it"
            )
        self._check_share(plan, failed, reasons)

    def _check_share(self, plan: Plan, failed: int, reasons: Counter[str]) -> None:
        """Raises TooManyFailed, with the commonest reasons, where more rows failed than the config allows."""
        allowed = self._config.run.max_failed
        if failed > allowed * plan.rows:
            most = ", ".join(f"{count:,} x {reason}" for reason, count in reasons.most_common(5))
            most += f", and {len(reasons) - 5} reasons more" if len(reasons) > 5 else ""
            raise TooManyFailed(
                f"{failed:,} of {plan.rows:,} rows have no reranker score, "
                f"more than run.max_failed = {allowed} allows: {most}. What was scored is kept: with a higher "
                "run.max_failed the same command goes on from here"
            )
