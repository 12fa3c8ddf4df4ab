"""The sections of a config, and what holds between them."""

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SerializeAsAny,
    field_validator,
    model_validator,
)

from actors.engines import get_engine
from actors.rerankers import RERANKERS, Settings
from pipeline.config.until import check_until
from pipeline.fusion import METHODS

LOGICAL = ("query_id", "query", "doc_id", "doc", "score", "title", "instruction")
RANKED = ("query_id", "doc_id", "rank", "score", "first_stage_score", "rerank_score", "reason", "explanation")
INTERNAL = ("file", "row")  # what ranked rows are called by until they are written
STAGED = ("stage", "given_score")  # further columns of a result with stages
SECTIONS = ("reranker", "engine", "workers", "fusion")  # those that each stage has for itself


class Section(BaseModel):
    """A part of the config: unknown keys are errors, and nothing is changed once it is read."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str) else [] if value is None else value


Url = Annotated[str, Field(min_length=1)]


class DeltaTable(Section):
    format: Literal["delta"]
    path: Url
    version: Annotated[int, Field(ge=0)] | None = None

    def __str__(self) -> str:
        return f"Delta table {self.path}" + ("" if self.version is None else f", version {self.version}")


class IcebergTable(Section):
    """catalog: a name that pyiceberg's own configuration defines."""

    format: Literal["iceberg"]
    catalog: Annotated[str, Field(min_length=1)]
    name: Annotated[str, Field(min_length=1)]
    snapshot: int | None = None

    def __str__(self) -> str:
        place = f"Iceberg table {self.name} of catalog {self.catalog}"
        return place + ("" if self.snapshot is None else f", snapshot {self.snapshot}")


Table = DeltaTable | IcebergTable


class Input(Section):
    path: Annotated[list[Url], BeforeValidator(_listed)] = []
    table: Annotated[Table, Field(discriminator="format")] | None = None
    columns: dict[str, str] = {}
    duplicates: Literal["first", "last"] = "first"
    lower_is_better: bool = False

    @field_validator("columns")
    @classmethod
    def _known(cls, columns: dict[str, str]) -> dict[str, str]:
        for name in columns:
            if name not in LOGICAL:
                raise ValueError(
                    f"input.columns.{name} = {columns[name]!r}: no column of a pair; those are {', '.join(LOGICAL)}"
                )
        return columns

    @model_validator(mode="after")
    def _from_one_place(self) -> "Input":
        if not self.path and not self.table:
            raise ValueError("input.path: missing; or give input.table")
        if self.path and self.table:
            raise ValueError("input.table: stands beside input.path; one of the two is null (input.path=null, say)")
        return self

    @model_validator(mode="after")
    def _check_texts(self) -> "Input":
        names = ["query", "doc", *(name for name in ("title", "instruction") if name in self.columns)]
        for i, name in enumerate(names):
            for other in names[:i]:
                if (column := self.column(name)) == self.column(other):
                    raise ValueError(f"input.columns.{name} = {column!r}: is the column of {other}, too")
        return self

    def column(self, name: str) -> str:
        """The column in the files that holds the logical column `name`."""
        return self.columns.get(name, name)


def _count(value: Any) -> Any:
    count = [value, value] if type(value) is int else value
    if (
        not isinstance(count, list | tuple)
        or len(count) != 2
        or not all(type(number) is int and number > 0 for number in count)
    ):
        raise ValueError("should be a whole number above 0, or two as [min, max]")
    return list(count)


class Workers(Section):
    count: Annotated[list[int], BeforeValidator(_count)] = [1, 1]
    num_gpus: Annotated[float, Field(ge=0)] | None = None
    num_cpus: Annotated[float, Field(ge=0)] | None = None
    accelerator_type: Annotated[str, Field(min_length=1)] | None = None

    @field_validator("count")
    @classmethod
    def _ascending(cls, count: list[int]) -> list[int]:
        if count[0] > count[1]:
            raise ValueError("the smaller number of [min, max] comes first")
        return count


class Fusion(Section):
    method: str = "zscore"
    alpha: Annotated[float, Field(ge=0, le=1)] = 0.2
    k: Annotated[int, Field(ge=1)] = 60

    @field_validator("method")
    @classmethod
    def _known(cls, method: str) -> str:
        if method not in METHODS:
            raise ValueError(f"known methods are {', '.join(METHODS)}")
        return method


class Output(Section):
    path: Url
    top_k: Annotated[int, Field(ge=1)] | None = None
    columns: list[str] = []
    explain: bool = False

    @field_validator("columns")
    @classmethod
    def _new(cls, columns: list[str]) -> list[str]:
        for name in columns:
            if name in RANKED + INTERNAL:
                raise ValueError(f"{name!r} is already a column of the output")
        if len(set(columns)) < len(columns):
            raise ValueError("a column is named twice")
        return columns


class Run(Section):
    unit_rows: Annotated[int, Field(ge=1)] | None = None
    max_failed: Annotated[float, Field(ge=0, le=1)] = 0.01
    min_label_share: Annotated[float, Field(ge=0, le=1)] = 0.05
    on_existing: Literal["resume", "restart"] = "resume"
    on_gone: Literal["refuse", "drop"] = "refuse"
    retry_failed: bool = False
    accept: list[Literal["engine"]] = []
    reuse: Annotated[list[Url], BeforeValidator(_listed)] = []
    deterministic: bool = False
    until: Annotated[str | float, BeforeValidator(check_until)] | None = None
    stall_seconds: Annotated[float, Field(gt=0)] = 1800
    shared_filesystem: bool = False


class Scoring(Section):
    """The checks of reranker, engine, workers and fusion, for a run of one stage and for a stage."""

    if TYPE_CHECKING:  # each of the two has these fields, in its own order
        reranker: SerializeAsAny[Settings]
        engine: dict[str, Any]
        workers: Workers
        fusion: Fusion

    @field_validator("reranker", mode="before", check_fields=False)
    @classmethod
    def _typed(cls, section: Any) -> Any:
        if not isinstance(section, dict) or "type" not in section:
            raise ValueError(f"reranker.type: missing; known rerankers are {', '.join(RERANKERS)}")
        kind = section["type"]
        if not isinstance(kind, str) or kind not in RERANKERS:
            raise ValueError(f"reranker.type = {kind!r}: unknown; known rerankers are {', '.join(RERANKERS)}")
        return RERANKERS[kind].settings.model_validate(section)

    @field_validator("engine", check_fields=False)
    @classmethod
    def _reserved(cls, engine: dict[str, Any]) -> dict[str, Any]:
        for name in get_engine(engine).RESERVED:
            if name in engine:
                raise ValueError(f"engine.{name} = {engine[name]!r}: is set by the reranker section, not here")
        return engine

    @model_validator(mode="after")
    def _arguments(self) -> Any:
        task = RERANKERS[self.reranker.type].request(self.reranker).task
        get_engine(self.engine).check_arguments(self.engine, task, self.reranker.type)
        return self

    @model_validator(mode="after")
    def _fraction(self) -> Any:
        gpus = self.workers.num_gpus
        if gpus and gpus % 1 and self.ranks != 1:
            raise ValueError(f"workers.num_gpus = {gpus}: a fraction of a GPU goes only with a model on one GPU")
        return self

    @property
    def ranks(self) -> int:
        """Processes of one engine, each with a GPU."""
        return get_engine(self.engine).count_ranks(self.engine)


class Stage(Scoring):
    """One reranker of several. top_k: how many candidates of a query go on to the next stage."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")]  # of a folder, and in overrides
    reranker: SerializeAsAny[Settings]
    engine: dict[str, Any] = {}
    workers: Workers = Workers()
    fusion: Fusion = Fusion()
    top_k: Annotated[int, Field(ge=1)] | None = None


class Config(Scoring):
    """A whole run. `reranker` holds the settings model that its `type` names in the table of rerankers.

    In a config with stages reranker, engine, workers and fusion are those of the last one, whose result is the run's.
    """

    input: Input
    reranker: SerializeAsAny[Settings]  # the manifest has the family's own settings too
    engine: dict[str, Any] = {}
    workers: Workers = Workers()
    fusion: Fusion = Fusion()
    output: Output
    run: Run = Run()
    stages: list[Stage] = []

    @model_validator(mode="after")
    def _instructed(self) -> "Config":
        for one in [*self.stages] or [self]:  # type: ignore[list-item]
            if "instruction" in self.input.columns and not one.reranker.takes_instruction:
                takers = [name for name, known in RERANKERS.items() if "instruction" in known.settings.model_fields]
                where = f" of stage {one.name!r}" if isinstance(one, Stage) else ""
                raise ValueError(
                    f"input.columns.instruction = {self.input.columns['instruction']!r}: reranker.type = "
                    f"{one.reranker.type!r}{where} takes no instruction, as its settings are; {', '.join(takers)} can"
                )
        return self

    @model_validator(mode="after")
    def _chained(self) -> "Config":
        names = [stage.name for stage in self.stages]
        for number, stage in enumerate(self.stages, 1):
            if names.count(stage.name) > 1:
                raise ValueError(f"stages: {stage.name!r} is the name of two; scores lie below stages/NAME")
            if stage.top_k is None and number < len(names):
                raise ValueError(f"stages.{stage.name}.top_k: missing; how many candidates go on to the next stage?")
            if stage.top_k is not None and number == len(names):
                raise ValueError(f"stages.{stage.name}.top_k = {stage.top_k}: no stage follows; use output.top_k")
        if taken := [name for name in self.output.columns if self.stages and name in STAGED]:
            raise ValueError(f"output.columns: {taken[0]!r} is a column that a result with stages has already")
        return self
