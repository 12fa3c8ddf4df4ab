"""A run with stages is a chain of runs of one stage, each over the ranked candidates of the one before.

All but the last write to OUT/stages/NAME, in the form of any result, and the last one to OUT. The candidates that
`top_k` cuts off in a stage go to its `rest/`, without texts. A later stage ranks the first `top_k` candidates of the
one before and rejects none of them, so the ranks in `rest/` are those of the whole result, too: it is the ranked rows
of the last stage, with the rests of those before it behind them.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

from pipeline.config.sections import SECTIONS, STAGED, Config, Input, Stage

STAGE, GIVEN = STAGED
FIRST_STAGE = "first_stage_score"


class Before(NamedTuple):
    """The result of a stage before this one. rest: the names of its files of rows that did not go on, by bucket.
    about: what the manifest of the whole result says of it."""

    url: str
    rest: list[str]
    about: dict[str, Any]


@dataclass(frozen=True)
class Position:
    """Where a run stands in a chain of stages. whole: the config of the chain. number: of the stage, from 0. before:
    the stages before it, in their order."""

    whole: Config
    number: int
    before: tuple[Before, ...] = ()

    @property
    def stage(self) -> Stage:
        return self.whole.stages[self.number]

    @property
    def is_last(self) -> bool:
        return self.number == len(self.whole.stages) - 1

    @property
    def carried(self) -> list[str]:
        """Columns of the input that every row of the stage's result has."""
        return [*self.whole.output.columns, *([FIRST_STAGE] if self.number else [])]

    @property
    def texts(self) -> list[str]:
        """Further ones of the rows that go on: the texts that the next stage reads."""
        shown = self.whole.output.columns
        return [] if self.is_last else [name for name in _list_texts(self.whole) if name not in shown]

    @property
    def output(self) -> str:
        """Where the stage's result lies."""
        root = self.whole.output.path
        return root if self.is_last else f"{root.rstrip('/')}/stages/{self.stage.name}"


def list_positions(config: Config) -> list[Position]:
    """Those of the stages of a config; none where it has no stages."""
    return [Position(config, number) for number in range(len(config.stages))]


def make_stage_config(position: Position) -> Config:
    """The config of a stage as a run of its own.

    The next stage's input is the ranked rows of the one before, each under its own name. Its `output.top_k` is how many
    candidates go on.
    """
    whole, stage, source, run = position.whole, position.stage, position.whole.input, position.whole.run
    if position.number:
        before = Position(whole, position.number - 1)
        columns = {name: name for name in _list_texts(whole)} | {"score": GIVEN}
        source = Input(path=[f"{before.output}/ranked"], columns=columns)
        run = run.model_copy(update={"on_gone": "drop"})  # a new result of the stage before has other files
    output: dict[str, Any] = {"path": position.output, "columns": position.carried + position.texts}
    if not position.is_last:
        output["top_k"] = stage.top_k
    update: dict[str, Any] = {name: getattr(stage, name) for name in SECTIONS}
    update |= {"input": source, "output": whole.output.model_copy(update=output), "run": run, "stages": []}
    return whole.model_copy(update=update)


def _list_texts(config: Config) -> list[str]:
    return ["query", "doc", *(name for name in ("title", "instruction") if name in config.input.columns)]
