"""A whole run: list -> plan -> read -> order -> prompt -> score -> write -> merge -> fuse -> rank -> commit."""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial
from typing import Any

from actors.worker.actor import Scorer
from pipeline.chain import run_stages
from pipeline.check.matches import check_first_pairs
from pipeline.check.model import check_tokenizer
from pipeline.check.preflight import LATE_FOLDER, Checked, check
from pipeline.check.weights import check_weights
from pipeline.cluster.contract import Cluster
from pipeline.cluster.in_process import InProcess
from pipeline.config import Config
from pipeline.config.until import find_end
from pipeline.errors import RunError, StoreError, UsageError, say
from pipeline.input.columns import describe_columns
from pipeline.input.first_pair import read_first_pairs
from pipeline.input.footers import FirstFile, read_first_file
from pipeline.input.listing import InputFile
from pipeline.input.result import read_result
from pipeline.output.commit import commit, has_all_parts, read_last_manifest, restore_result, withdraw_result
from pipeline.output.lease import Held, Lease, hold
from pipeline.output.manifest import build_manifest, summarize_scoring
from pipeline.output.restart import is_restarting, throw_away
from pipeline.output.tidy import list_temporary, tidy
from pipeline.plan.changes import check_same_files, find_changes
from pipeline.plan.queries import check_queries_stand_together, sees_queries
from pipeline.plan.reuse import find_earlier
from pipeline.plan.stored import list_stored
from pipeline.plan.total import Total
from pipeline.plan.units import Coverage, count_rows_of_all, hash_version
from pipeline.plan.work import Work, select_work
from pipeline.rank.known import KnownScores, prepare_known
from pipeline.rank.oddities import describe_oddities
from pipeline.rank.result import compute_result_id, count_parts, prepare_parts
from pipeline.rank.take_over import take_over
from pipeline.rows import Part, check_share, count_failed
from pipeline.score.deadline import PutLate, set_deadline
from pipeline.score.files import find_transient_rows
from pipeline.sizes import Sizes
from pipeline.storage.folder import Folder


def rerank(
    config: Config,
    scorer: type = Scorer,
    cluster: Cluster | None = None,
    sizes: Sizes = Sizes(),
    hold: Callable[[Folder], AbstractContextManager[Lease]] = hold,
    clock: Callable[[], float] = time.time,
) -> dict[str, Any]:
    """Runs a config to a committed result and returns the run's figures.

    scorer: the class of the actors; tests of the dataflow put one without an engine in its place. cluster: where it
    runs; None connects to Ray. hold: takes the lease of the output. clock: says what time it is, for run.until.
    Scores that are there already are kept; a result that is there already, made from the same scores by the same
    fusion, stands. Raises UsageError, TooManyFailed, Held or RunError, each with one line for the person on call.
    """
    end = None if config.run.until is None else find_end(config.run.until, clock())
    run = partial(Run, scorer, cluster, sizes, end, clock)
    if config.stages:
        return run_stages(config, lambda *stage: run(*stage).make_result(), hold)
    began, checked = time.perf_counter(), check(config)
    with hold(checked.output) as lease:
        return run(checked, lease, [], began).make_result()


class Run:
    """One run of a checked config, or one stage of it. end_at: when the result has to stand, by the clock. began: when,
    by time.perf_counter. later: the stages behind."""

    def __init__(
        self, scorer: type, cluster: Cluster | None, sizes: Sizes, end_at: float | None, clock: Callable[[], float],
        checked: Checked, lease: Lease, later: list[Checked], began: float,
    ):  # fmt: skip
        self._checked, self._config, self._scorer, self._later = checked, checked.config, scorer, later
        self._cluster, self._sizes, self._lease = cluster, sizes, lease
        self._end_at, self._clock = end_at, clock
        self._began, self._seconds = began, dict[str, float]()
        self._taken = 0  # scores of units whose pairs were all known

    def make_result(self) -> dict[str, Any]:
        """Scores, ranks and commits what is not there yet. Returns the run's figures."""
        with ExitStack() as self._connection:
            return self._make_result()

    def _make_result(self) -> dict[str, Any]:
        output, config = self._checked.output, self._config
        restart = is_restarting(self._checked)
        stored = [] if restart else list_stored(self._checked)
        standing, last = (None, None) if restart else (read_result(output), read_last_manifest(output))
        files, changes = find_changes(config, self._checked.files, last)
        if any(changes) and not self._checked.is_later_stage:  # whose input is made again with every result before it
            say(f"of the input's files, since the result that stands was made: {changes}")
        coverage = Coverage(stored)
        same = standing and standing.get("tag") == compute_result_id(config, files, coverage, self._checked.position)
        settled = standing and same and not standing["figures"]["transient"]
        retry = config.run.retry_failed and not settled
        select = partial(select_work, config, files=files, coverage=coverage, sizes=self._sizes, retry_failed=retry)
        work = select(read_first_file(config, files), is_failed=self._is_failed)
        self._time("plan")
        if standing and same and not work.tasks:
            if has_all_parts(output, standing):
                return self._keep(standing, Counter(), 0, stored)
            say("parts of the result that stands are gone; it is made again from its scores")
        if work.tasks:  # what is left of a run that had every unit: one that is scored again may have its name and size
            self._checked.all_scores.delete(list_temporary(self._checked, [self._checked.fingerprint]))
        if restart and config.run.reuse:
            say("run.on_existing = 'restart': scores everything again, so no scores are taken over (run.reuse)")
        known = None if restart else self._take_over(files, stored, work, coverage)
        work = select(work.first, is_failed=self._is_failed) if known else work
        if work.tasks:
            self._check_model(files, work.first)
        total = Total(files, coverage, work, self._sizes)
        about = f"{'' if total.exact else 'about '}{total.rows:,} rows, {total.scored:,} of them scored"
        what = str(config.input.table or "the input")
        many = "1 file" if len(files) == 1 else f"{len(files):,} files"
        say(f"{what} has {many} and {about}; {describe_columns(work.first.columns)}")
        small = not work.tasks and self._count_parts(count_rows_of_all(coverage, files)) == 1
        cluster = self._connect(small)
        self._time("start")
        with self._explain_changes(files):
            if restart:
                throw_away(self._checked, self._later)
            if work.tasks and sees_queries(config) and not self._checked.is_later_stage:  # whose input is a ranking
                check_queries_stand_together(config, files, work.first, cluster)
            before = cluster.read_spilled_bytes()
            scoring = self._score(files, total, work, coverage, cluster, known)
            after = cluster.read_spilled_bytes()
            spilled = None if before is None or after is None else after - before
            self._time("score")
            self._lease.confirm()
            rows = count_rows_of_all(coverage, files)
            write = prepare_parts(self._checked, work.first, files, rows, coverage, cluster, self._sizes)
            now = read_result(output)
            self._lease.confirm()  # merging takes its time
            same = now is not None and now.get("tag") == write.result_id and has_all_parts(output, now)
            if now and same and (now != standing or not scoring["units_now"]):
                if now != standing:
                    say("another run has put the same result meanwhile; it stands")
                return self._keep(now, scoring, spilled, stored)
            with self._withdraw(None if same else now):
                parts = sorted(cluster.run(write, range(self._count_parts(rows))))
                self._time("fuse")
                self._check_parts(parts, sum(rows))
                check_same_files(self._config, files)  # while it was read, too
                self._lease.confirm()
                figures = summarize_scoring(scoring, self._seconds, spilled)
                names = (found.name for file in files for found in coverage.score_files(hash_version(file)))
                units = Counter(name.partition("/")[0] for name in names if not name.startswith(LATE_FOLDER))
                columns = work.first.columns
                result = build_manifest(
                    self._checked, columns, files, rows, changes, units, write.result_id, parts, figures
                )
                commit(output, result)
        return self._end(result, stored)

    def _is_failed(self, file: InputFile, names: list[str]) -> bool:
        return bool(find_transient_rows(self._checked.all_scores, names, file.shown, sees_queries(self._config)))

    def _check_model(self, files: list[InputFile], first: FirstFile) -> None:
        """Raises UsageError where the files of the model, or of a later stage's, are no good, for the input's first row
        among others."""
        file = next(file for file in files if file.path == first.path)
        for config in [self._config, *(stage.config for stage in self._later)]:
            tokenizer, settings = check_tokenizer(config), config.reranker
            check_first_pairs(tokenizer, settings, read_first_pairs(file, first.columns, settings))
            if left := check_weights(config, tokenizer):
                say(f"not checked: {left}")

    def _count_parts(self, rows: list[int]) -> int:
        """The parts of the result. rows: of each file."""
        return count_parts(self._config, rows, self._sizes, self._checked.position)

    def _check_parts(self, parts: list[Part], rows: int) -> None:
        """Raises TooManyFailed where too many of all rows have no score."""
        counts = [part.counts for part in parts]
        if (ranked := sum(count.rows + count.deleted for count in counts)) != rows:
            raise RunError(
                f"the input has {rows:,} rows and the score files have {ranked:,}: this is a bug, please report it"
            )
        reasons = sum((Counter(count.reasons) for count in counts), Counter[str]())
        failed = sum(count_failed(count._asdict()) for count in counts)
        live = sum(count.rows for count in counts)
        check_share(live, failed, reasons, self._config.run.max_failed)

    @contextmanager
    def _withdraw(self, standing: dict[str, Any] | None) -> Iterator[None]:
        """No result stands while the block makes the next one. If that fails, the one before stands again."""
        output = self._checked.output
        withdraw_result(output)
        try:
            yield
        except RunError as error:
            if standing and not isinstance(error, Held):
                try:
                    self._lease.confirm()
                    restore_result(output, standing)
                except (StoreError, Held) as why:
                    say(f"the result that stood does not any more: {why}")
            raise

    def _time(self, step: str) -> None:
        """Notes the seconds since the step before ended. A step may have several parts."""
        since = time.perf_counter() - self._began - sum(self._seconds.values())
        self._seconds[step] = self._seconds.get(step, 0) + since

    def _take_over(
        self, files: list[InputFile], stored: list[str], work: Work, coverage: Coverage
    ) -> KnownScores | None:
        """Has the coverage get the score files of units whose rows all have scores by their texts. Returns the scores
        for the others; None where none are known."""
        earlier = find_earlier(self._checked, files, stored) if work.tasks else []
        if not earlier:
            return None
        rows = sum(one.rows for one in earlier)
        cluster = self._connect(rows <= self._sizes.bucket_rows and work.stored_bytes <= self._sizes.part_bytes)
        self._time("start")
        known = prepare_known(
            earlier, self._checked.merged, self._config.output.explain, cluster, self._sizes, sees_queries(self._config)
        )
        taken = take_over(known, work, self._checked.scores, cluster, self._sizes)
        coverage.add(map(self._checked.name_below_all, taken.names))
        self._taken = taken.scores
        self._time("reuse")
        return known

    def _connect(self, small: bool) -> Cluster:
        """Where the run goes on: on Ray, unless what is to be done is small and no engine is needed for it."""
        if not self._cluster and not small:
            from pipeline.cluster.connect import connect_for_run  # imported here: Ray takes a second

            self._cluster = self._connection.enter_context(connect_for_run(self._config))
        return self._cluster or InProcess()

    def _keep(
        self, result: dict[str, Any], scoring: Counter[str], spilled: int | None, stored: list[str]
    ) -> dict[str, Any]:
        """The figures of a result that stands, made under another run.max_failed maybe."""
        figures = result["figures"]
        check_share(figures["rows"], count_failed(figures), Counter(result["reasons"]), self._config.run.max_failed)
        return self._end(result, stored) | summarize_scoring(scoring, self._seconds, spilled)

    def _end(self, result: dict[str, Any], stored: list[str]) -> dict[str, Any]:
        """The figures of a result that stands. Says what may be done for it, and deletes what it has no use for."""
        if late := result["figures"].get("late"):
            how = "without run.on_existing=restart " if self._config.run.on_existing == "restart" else ""
            say(f"{late:,} rows were not scored in time (run.until); {how}a run with more time goes on with them")
        if transient := result["figures"]["transient"]:
            say(f"{transient:,} rows have no score for a reason that may pass; run.retry_failed=true scores them again")
        lower, whole = self._config.input.lower_is_better, sees_queries(self._config)
        for line in describe_oddities(result["figures"], lower, whole):
            say(line)
        tidy(self._checked, self._lease, result, stored)
        return result["figures"]

    @contextmanager
    def _explain_changes(self, files: list[InputFile]) -> Iterator[None]:
        """Files that cannot be decoded may have been replaced: then that is what the error says."""
        try:
            yield
        except UsageError:
            check_same_files(self._config, files)
            raise

    def _score(
        self,
        files: list[InputFile],
        total: Total,
        work: Work,
        coverage: Coverage,
        cluster: Cluster,
        known: KnownScores | None,
    ) -> Counter[str]:
        """Scores what is missing, or as much as there is time for. Returns the sums of its figures. The coverage gets
        the score files that come."""
        deadline = set_deadline(self._end_at, 1 + len(self._later), self._clock)
        sums = Counter(taken=self._taken)
        if work.tasks and not deadline.is_over:
            from pipeline.score.missing import score_missing  # imported here: it brings Ray, for the metrics

            checked, sizes = self._checked, self._sizes
            sums += score_missing(
                checked, total, work, coverage, self._scorer, cluster, sizes, known, deadline, self._lease
            )
        if self._end_at is not None:  # whatever this clock says: those of the workers may be ahead
            late = select_work(self._config, work.first, files, coverage, self._sizes)
            task = PutLate(late, self._checked.all_scores, self._checked.late_folder, self._sizes)
            coverage.add(name for names in cluster.run(task, range(late.tasks)) for name in names)
        return sums
