"""The score files that earlier runs left under an output."""

import re
from collections import Counter

from pipeline.check.fingerprint import differs_in_engine
from pipeline.check.preflight import LATE_FOLDER, Checked
from pipeline.errors import UsageError, say
from pipeline.plan.units import FINGERPRINT, FINGERPRINT_0_1, parse_score_file

OLD = re.compile(rf"{FINGERPRINT_0_1}/")
OURS = re.compile(rf"({FINGERPRINT})/(?!\.put-)")
LATE = re.compile(rf"{LATE_FOLDER}{FINGERPRINT}/")


def list_stored(checked: Checked) -> list[str]:
    """Names, below the folder of all scores, of the files that this run can go on from: those under its fingerprint, or
    one that `run.accept` allows.

    Raises UsageError where there are others alone, or some of an earlier version of rayrank.
    """
    stored = list_all_stored(checked)
    output, mine = checked.config.output.path, checked.fingerprint
    mend = "choose another output.path, or run.on_existing=restart to throw those scores away"
    if old := [name for name in stored if OLD.match(name)]:
        raise UsageError(
            f"output.path = {output!r}: scores/{old[0]} is a file of rayrank 0.1, which this one cannot read; {mend}"
        )
    others = {fingerprint for name in stored if (fingerprint := name.partition("/")[0]) != mine}
    of_engine = {other for other in others if differs_in_engine(mine, other)}
    accepted = of_engine if "engine" in checked.config.run.accept else set()
    usable = [name for name in stored if name.partition("/")[0] in {mine, *accepted}]
    if stored and not usable:
        other = min(of_engine or others)
        what = "another version of the engine" if of_engine else "another model, prompt, setting or type of ids"
        take = "run.accept=[engine] takes them; else " if of_engine else ""
        raise UsageError(
            f"output.path = {output!r}: holds scores of {what} (fingerprint {other}, this run's is {mine}); "
            f"{take}{mend}"
        )
    if accepted:
        units = Counter(name.partition("/")[0] for name in usable if parse_score_file(name))
        for other in sorted(accepted & units.keys()):
            say(f"run.accept = ['engine']: takes {units[other]:,} score files of another version of it ({other})")
    return usable


def list_all_stored(checked: Checked) -> list[str]:
    """Names of the score files, and of files made of scores, under any fingerprint."""
    return [name for name in checked.all_scores.names() if OURS.match(name) or OLD.match(name)]


def list_everything(checked: Checked) -> list[str]:
    """The same, with the files that stand for scores that were not there in time (run.until)."""
    kinds = OURS, OLD, LATE
    return [name for name in checked.all_scores.names() if any(kind.match(name) for kind in kinds)]
