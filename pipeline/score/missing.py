"""The step of scoring: what has no scores gets them, while progress is shown and failures are counted."""

import json
from collections import Counter
from contextlib import closing
from typing import Protocol

from pipeline.check.preflight import Checked
from pipeline.cluster.contract import Cluster
from pipeline.plan.total import Total
from pipeline.plan.units import Coverage, look_up_score_files, parse_score_file, parse_unit
from pipeline.plan.work import Work
from pipeline.rows import check_share
from pipeline.score.deadline import Deadline
from pipeline.score.doubts import Doubts
from pipeline.score.failed import FailedRows
from pipeline.score.progress import Progress
from pipeline.score.prompt import AddKnown
from pipeline.score.stream import score_units
from pipeline.sizes import Sizes


class Lease(Protocol):
    """The lease of the output (pipeline/output/lease.py)."""

    def check(self) -> None:
        """Raises RunError where another run holds the output."""

    def note_progress(self, fingerprint: str, done: int, rows: int) -> None:
        """Has status.py see how far the run is."""


def score_missing(
    checked: Checked,
    total: Total,
    work: Work,
    coverage: Coverage,
    scorer: type,
    cluster: Cluster,
    sizes: Sizes,
    known: AddKnown | None,
    deadline: Deadline,
    lease: Lease,
) -> Counter[str]:
    """Scores the work, and shows how far it is. Returns the sums of its figures. The coverage gets the score files that
    are put.

    Raises TooManyFailed as soon as more rows failed than may, and what score_units raises.
    """
    sums, reasons, config = Counter[str](), Counter[str](), checked.config
    put_before: set[str] = set()  # units
    failed, doubts = FailedRows(checked.scores), Doubts(config.run.min_label_share)
    total.begin(cluster)
    units = score_units(checked, work, scorer, cluster, sizes, known, deadline)
    with Progress(total.rows, total.scored, about=not total.exact) as progress, closing(units):
        for unit in units:
            if unit.file:
                coverage.add([checked.name_below_all(unit.file)])
            else:
                put_before.add(unit.unit)
            reasons.update(json.loads(unit.reasons))
            sums.update(unit.sums())
            failed.add(unit)
            tokens = unit.prompt_tokens + unit.new_tokens
            again = parse_unit(unit.unit).retry > 0
            failures = unit.failed + unit.rejected
            progress.add(unit.rows - unit.deleted, int(tokens), failures, unit.seconds, again)
            if total.update():
                progress.of(total.rows)
            if total.exact:
                lease.note_progress(checked.fingerprint, progress.done, total.rows)
                if failed.exceed(config.run.max_failed * total.rows):
                    check_share(total.rows, failed.rows, reasons, config.run.max_failed)
            doubts.look(sums)
            lease.check()
        doubts.look(sums, over=True)
        sums["engines"] = progress.waited  # type: ignore[assignment]
    total.wait()
    listed = checked.scores.names()  # other runs may have put some of them
    hidden = put_before - {found.unit.name for name in listed if (found := parse_score_file(name))}
    if deadline.is_over:  # then most of them were not scored in time, and they are too many to look up one by one
        hidden = set()
    names = [*listed, *look_up_score_files(checked.scores, hidden)]
    coverage.add(map(checked.name_below_all, names))
    return sums
