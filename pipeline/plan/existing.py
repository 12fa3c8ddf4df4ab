"""What earlier runs left of the scores under an output, and the plan by which it can be read."""

import re

from pipeline.check.preflight import Checked
from pipeline.errors import RunError, UsageError
from pipeline.output.commit import begin
from pipeline.plan.draft import FILES, NAME, Draft, begin_draft, finished, read_draft, worth_drafting
from pipeline.plan.plan import Plan, make_plan, unit_rows
from pipeline.plan.replan import changed_files, revised
from pipeline.plan.rounds import base, newest, stem
from pipeline.say import say
from pipeline.storage.folder import Folder

PLAN = "plan"
UNIT = re.compile(r"(\d{6,})-\d{4,}\.")
SCORES = re.compile(r"scores/[0-9a-f]{16}/(?!\.put-)")  # what a run writes, and a restart deletes


def stored_scores(checked: Checked) -> list[str]:
    """Names of the files under this run's fingerprint. Scores under another one are refused, or thrown away."""
    stored = listed_scores(checked)
    if checked.config.run.on_existing == "restart":
        begin(checked.output)
        plans = [name for name in stored if base(name.split("/")[2]) == PLAN or name.split("/")[2].startswith(NAME)]
        checked.output.delete(sorted({*stored} - {*plans}))
        checked.output.delete(plans)
        return []
    own = own_scores(checked, stored)
    begun = (f"{PLAN}.parquet", f"{NAME}.parquet")
    if not {*begun} & {*own} and all(checked.scores.size(name) is None for name in begun):  # a listing may lag behind
        checked.scores.delete(own)  # units of a plan that is gone: nobody knows which rows they are
        return []
    return own


def listed_scores(checked: Checked) -> list[str]:
    """Names, below the output, of what runs have put as scores, under any fingerprint."""
    return [name for name in checked.output.files("scores/") if SCORES.match(name)]


def own_scores(checked: Checked, stored: list[str]) -> list[str]:
    """Those under this run's fingerprint, by their names there. Raises UsageError where there are only others'."""
    mine = f"scores/{checked.fingerprint}/"
    if stored and not any(name.startswith(mine) for name in stored):
        other = stored[0].split("/")[1]
        raise UsageError(
            f"output.path = {checked.config.output.path!r}: holds scores of another model, prompt or setting "
            f"(fingerprint {other}, this run's is {checked.fingerprint}); choose another output.path, or "
            "run.on_existing=restart to throw those scores away"
        )
    return [name.removeprefix(mine) for name in stored if name.startswith(mine)]


def standing_plan(checked: Checked, stored: list[str]) -> Plan | Draft:
    """The plan of these scores: the one that is there, else a new one; revised where input files have changed.

    Of many files there is a draft at first, which becomes a plan while they are read.
    Of several drivers that put a plan, or a revision, at once the first one's stays, and all take it.
    """
    config, scores = checked.config, checked.scores
    plan = read_plan(scores, stored)
    if plan is None and stored and scores.size(f"{PLAN}.parquet") is not None:  # a listing may lag behind
        plan = Plan.from_bytes(scores.read(f"{PLAN}.parquet"))
    if plan is None and stored:  # they are of a draft, then
        plan = drafted(finished(read_draft(config, checked.files, scores)), scores)
    if plan is None and worth_drafting(checked.files):
        return begin_draft(config, checked.files, scores)
    if plan is None:
        plan = _put(scores, make_plan(config, checked.files, unit_rows(config)))
    while changed := changed_files(plan.versions(), checked.files):
        say(f"{len(changed)} input files have changed, {changed[0]} first: their rows are scored anew")
        plan = _put(scores, revised(plan, config, checked.files, changed))
    return plan


def drafted(plan: Plan, scores: Folder) -> Plan:
    """Puts the plan that a draft has become. Raises RunError where another one is there."""
    there = _put(scores, plan)
    if there.id != plan.id:
        raise RunError(
            f"{scores.path(PLAN)}.parquet: has been put by another run; the same command goes on from what that one has"
        )
    return there


def read_plan(scores: Folder, stored: list[str]) -> Plan | None:
    """The last revision of the plan among the files of a folder of scores."""
    there = newest(stored).get(PLAN)
    return Plan.from_bytes(scores.read(there.file)) if there else None


def sweep_scores(scores: Folder, plan: Plan) -> None:
    """Deletes, once the result stands, the plan's draft, and the scores of files as they were before they changed.

    Splits that this plan does not know of are those of a later revision, whose driver took this one's place.
    """
    if len(plan.versions()) > FILES:
        scores.delete(list(scores.files(NAME)))
    if plan.revision:
        units = set(plan.unit_names())
        old = [name for name in scores.files() if (found := UNIT.match(name)) and int(found[1]) < plan.next_split]
        scores.delete([name for name in old if base(name) not in units])


def _put(scores: Folder, plan: Plan) -> Plan:
    file = f"{stem(PLAN, plan.revision)}.parquet"
    scores.put_new(file, plan.to_bytes())
    return Plan.from_bytes(scores.read(file))
