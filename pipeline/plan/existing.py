"""The scores and plans that earlier runs left under an output."""

import re

from pipeline.check.preflight import Checked
from pipeline.errors import RunError, UsageError, say
from pipeline.plan.draft import NAME, Draft, begin_draft, finish_draft, is_worth_drafting, read_draft
from pipeline.plan.plan import Plan, make_plan, unit_rows
from pipeline.plan.replan import find_changed, revise_plan
from pipeline.plan.rounds import find_newest, name_round, parse_name
from pipeline.sizes import Sizes
from pipeline.storage.folder import Folder

PLAN = "plan"
UNIT = re.compile(r"(\d{6,})-\d{4,}\.")
SCORES = re.compile(r"scores/[0-9a-f]{16}/(?!\.put-)")  # files that runs write and a restart deletes


def delete_scores(checked: Checked, stored: list[str]) -> None:
    """Deletes all scores and plans, under any fingerprint; plans last, since scores mean nothing without them."""
    plans = [name for name in stored if parse_name(name.split("/")[2]) == PLAN or name.split("/")[2].startswith(NAME)]
    checked.output.delete(sorted({*stored} - {*plans}))
    checked.output.delete(plans)


def list_stored(checked: Checked) -> list[str]:
    """Names of the files under this run's fingerprint. Raises UsageError for scores under another one."""
    own = select_own(checked, list_score_files(checked))
    begun = (f"{PLAN}.parquet", f"{NAME}.parquet")
    if not {*begun} & {*own} and all(checked.scores.size(name) is None for name in begun):  # a listing may lag behind
        checked.scores.delete(own)  # scores without a plan: which rows they belong to is unknown
        return []
    return own


def list_score_files(checked: Checked) -> list[str]:
    """Names of the files, below the output, that runs have put among the scores, under any fingerprint."""
    return [name for name in checked.output.files("scores/") if SCORES.match(name)]


def select_own(checked: Checked, stored: list[str]) -> list[str]:
    """Names, in this run's folder of scores, of the stored files that are there.

    Raises UsageError where all are under other fingerprints.
    """
    mine = f"scores/{checked.fingerprint}/"
    if stored and not any(name.startswith(mine) for name in stored):
        other = stored[0].split("/")[1]
        raise UsageError(
            f"output.path = {checked.config.output.path!r}: holds scores of another model, prompt or setting "
            f"(fingerprint {other}, this run's is {checked.fingerprint}); choose another output.path, or "
            "run.on_existing=restart to throw those scores away"
        )
    return [name.removeprefix(mine) for name in stored if name.startswith(mine)]


def find_plan(checked: Checked, stored: list[str], sizes: Sizes) -> Plan | Draft:
    """The plan of these scores: the stored one, or else a new one; revised where input files have changed.

    For very many files it is a Draft, which becomes a plan while they are read. Where several drivers put a plan, or a
    revision, at the same time, all of them use the first.
    """
    config, scores = checked.config, checked.scores
    plan = read_plan(scores, stored)
    if plan is None and stored and scores.size(f"{PLAN}.parquet") is not None:  # a listing may lag behind
        plan = Plan.from_bytes(scores.read(f"{PLAN}.parquet"))
    if plan is None and stored:  # the scores of a draft
        plan = put_drafted(finish_draft(read_draft(config, checked.files, scores, sizes)), scores)
    if plan is None and is_worth_drafting(checked.files, sizes):
        return begin_draft(config, checked.files, scores, sizes)
    if plan is None:
        plan = _put(scores, make_plan(config, checked.files, unit_rows(config), sizes.split_bytes))
    while changed := find_changed(plan.versions(), checked.files):
        say(f"{len(changed)} input files have changed, {changed[0]} first: their rows are scored anew")
        plan = _put(scores, revise_plan(plan, config, checked.files, changed, sizes.split_bytes))
    return plan


def put_drafted(plan: Plan, scores: Folder) -> Plan:
    """Puts the plan that was made from a draft. Raises RunError where another plan was put before."""
    stored = _put(scores, plan)
    if stored.id != plan.id:
        raise RunError(
            f"{scores.path(PLAN)}.parquet: has been put by another run; the same command goes on from what that one has"
        )
    return stored


def read_plan(scores: Folder, stored: list[str]) -> Plan | None:
    """The last revision of the plan. stored: names of the files in the folder of scores."""
    newest = find_newest(stored).get(PLAN)
    return Plan.from_bytes(scores.read(newest.file)) if newest else None


def delete_stale_scores(scores: Folder, plan: Plan, sizes: Sizes) -> None:
    """Deletes, once the result is committed, the plan's draft and the scores of files from before they changed.

    Splits above this plan's numbers are kept: they belong to a later revision, by a driver that took the output over.
    """
    if len(plan.versions()) > sizes.drafted_files:
        scores.delete(list(scores.files(NAME)))
    if plan.revision:
        units = set(plan.unit_names())
        old = [name for name in scores.files() if (found := UNIT.match(name)) and int(found[1]) < plan.next_split]
        scores.delete([name for name in old if parse_name(name) not in units])


def _put(scores: Folder, plan: Plan) -> Plan:
    """Puts a plan. Returns the one that is stored, which may be that of another driver."""
    file = f"{name_round(PLAN, plan.revision)}.parquet"
    scores.put_new(file, plan.to_bytes())
    return Plan.from_bytes(scores.read(file))
