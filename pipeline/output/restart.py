"""run.on_existing=restart: whatever runs have left in an output goes, its result and its scores.

A mark stays there from before the first deletion until after the last. A run that finds it restarts, too, whatever its
config says: else some of the scores that were to go would be in its result.
"""

from pipeline.check.preflight import Checked
from pipeline.output.commit import MANIFEST, list_parts, withdraw_result
from pipeline.plan.stored import list_everything

MARK = "_restarting"


def is_restarting(checked: Checked) -> bool:
    """Whether this run is to throw away what is there, or an earlier one did so in part."""
    return checked.config.run.on_existing == "restart" or checked.output.size(MARK) is not None


def throw_away(checked: Checked, later: list[Checked] = []) -> None:
    """Deletes the result and all scores. later: the stages behind this one, which do so when it is their turn."""
    output = checked.output
    for stage in later:
        stage.output.put(MARK, b"")
    output.put(MARK, b"")
    withdraw_result(output)
    output.delete([MANIFEST, *list_parts(output)])
    checked.all_scores.delete(list_everything(checked))
    output.delete([MARK])
