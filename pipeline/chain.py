"""A run with stages: one run after the other, under one lease, each over the candidates of the one before."""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any

from pipeline.check.preflight import Checked, check, check_ahead
from pipeline.config import Config
from pipeline.config.stages import Before, list_positions, make_stage_config
from pipeline.errors import say
from pipeline.input.result import read_result
from pipeline.output.lease import Lease
from pipeline.output.manifest import describe_stage
from pipeline.output.restart import is_restarting
from pipeline.plan.stored import list_stored
from pipeline.storage.folder import Folder
from pipeline.storage.urls import make_absolute

# A stage, the lease of the whole run, the stages behind it, and when it began -> its figures.
MakeResult = Callable[[Checked, Lease, list[Checked], float], dict[str, Any]]


def run_stages(
    config: Config, make_result: MakeResult, hold: Callable[[Folder], AbstractContextManager[Lease]]
) -> dict[str, Any]:
    """Runs all stages. The figures of the last one, and those of the others as `stages`.

    The models of all stages, and the scores that they left, are checked before the first one begins. Raises what
    make_result raises, and UsageError.
    """
    began = time.perf_counter()
    first, *later = list_positions(config)
    checked = check(make_stage_config(first), first)
    ahead = [check_ahead(make_stage_config(position), position) for position in later]
    for stage in ahead:
        if not is_restarting(stage):
            list_stored(stage)  # raises where its scores are another model's
    with hold(Folder(make_absolute(config.output.path))) as lease:
        figures, before = _run_stage(checked, lease, ahead, began, make_result), list[Before]()
        for position in later:
            before.append(_read_stage(checked, figures))
            began, position = time.perf_counter(), replace(position, before=tuple(before))
            checked = check(make_stage_config(position), position)
            figures = _run_stage(checked, lease, ahead[position.number :], began, make_result)
    return figures | {"stages": {stage.about["name"]: stage.about["figures"] for stage in before}}


def _run_stage(
    checked: Checked, lease: Lease, ahead: list[Checked], began: float, make_result: MakeResult
) -> dict[str, Any]:
    assert checked.position
    say(f"stage {checked.position.stage.name}, {checked.position.number + 1} of {len(checked.position.whole.stages)}")
    return make_result(checked, lease, ahead, began)


def _read_stage(checked: Checked, figures: dict[str, Any]) -> Before:
    """The result of a stage that has just been made, or stands. figures: of this run."""
    manifest, position = read_result(checked.output), checked.position
    assert manifest and position
    return Before(checked.output.url, manifest["rest"], describe_stage(position, manifest | {"figures": figures}))
