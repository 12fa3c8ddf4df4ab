"""A dry run of a config with stages: what each of them takes.

A stage whose input stands, because the one before has nothing left to score, is estimated as a run of its own. Before
that its pairs are estimated from rows of the run's input: of the rows of each query in a drawn unit at most `top_k` go
on. Where the rows of a query lie in several units that is more than go on in truth.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from pipeline.check.preflight import Checked, check, check_ahead, remove_new_folders
from pipeline.config import Config
from pipeline.config.stages import Position, list_positions, make_stage_config
from pipeline.estimate.draw import draw_units
from pipeline.estimate.dry_run import check_price, estimate_run
from pipeline.estimate.rate import Rate, read_rate
from pipeline.estimate.sizes import Sizes
from pipeline.estimate.text import describe_estimate
from pipeline.estimate.unscored import UnscoredUnits, find_unscored_units
from pipeline.input.result import read_result

ADDED = ("worker_hours", "gpu_hours", "cost")


def dry_run_stages(
    config: Config, rates: Mapping[str, Rate] = {}, gpu_hour_price: float | None = None, sizes: Sizes = Sizes()
) -> dict[str, Any]:
    """`stages`: name -> the figures that dry_run gives of a run; and the sums of hours and cost, where all are known.

    rates: of the stages, by name. Raises UsageError as the run would.
    """
    positions = list_positions(config)
    check_price(gpu_hour_price, next(iter(rates.values()), None))
    with remove_new_folders(make_stage_config(positions[0])):
        checked = check(make_stage_config(positions[0]), positions[0])
    ahead = [checked, *(check_ahead(make_stage_config(position), position) for position in positions[1:])]
    todo, everything = find_unscored_units(checked, sizes), find_unscored_units(checked, sizes, everything=True)
    stages, settled = {}, True  # settled: whether the stage's input is what it will be
    for position, stage in zip(positions, ahead, strict=True):
        if position.number:
            settled = settled and not todo.units and read_result(ahead[position.number - 1].output) is not None
            todo = _find_ahead(stage, position, everything, settled, sizes)
        about = estimate_run(stage.config, todo, rates.get(position.stage.name), gpu_hour_price, sizes)
        stages[position.stage.name] = about | {"ahead": not settled, "exact": settled and about["exact"]}
    sums = {
        name: {key: sum(about[name][key] for about in stages.values()) for key in ("expected", "least", "most")}
        for name in ADDED
        if all(name in about for about in stages.values())
    }
    return {"stages": stages} | sums


def read_stage_rates(output: str, config: Config) -> dict[str, Rate]:
    """The rates of an earlier run with these stages, by name. Raises UsageError where one is not known."""
    return {
        at.stage.name: read_rate(output if at.is_last else f"{output}/stages/{at.stage.name}", make_stage_config(at))
        for at in list_positions(config)
    }


def describe_stage(name: str, about: dict[str, Any]) -> list[str]:
    """The lines about a stage, for a person."""
    ahead = ["          at most: its input is not made yet, and scores of the same texts are not looked up"]
    return [f"stage     {name}", *(ahead if about["ahead"] else []), *describe_estimate(about)]


def _find_ahead(
    stage: Checked, position: Position, everything: UnscoredUnits, settled: bool, sizes: Sizes
) -> UnscoredUnits:
    """An upper bound of the rows that a later stage has to score: scores that it has of the same texts are not looked
    up."""
    if settled:
        with remove_new_folders(make_stage_config(position)):
            return find_unscored_units(check(make_stage_config(position), position), sizes)
    most = min(one.top_k for one in position.whole.stages[: position.number] if one.top_k)
    per_query = [unit.per_query for unit in draw_units(everything, sizes)]
    rows, going_on = (sum(int(np.minimum(counts, cap).sum()) for counts in per_query) for cap in (np.inf, most))
    return replace(everything, scale=everything.scale * going_on / max(1, rows))
