"""Stores that an input may lie on, an input that grows there, and scorers that fail."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, ClassVar, NamedTuple

import fsspec
import pyarrow as pa
import pyarrow.compute as pc
from fsspec.implementations.memory import MemoryFileSystem

from actors.rerankers.contract import Prompt, Unscored
from actors.worker.failures import Result
from pipeline.storage.folder import Folder
from tests.fakes import KnownScorer
from tests.pipeline.conftest import encode, pairs, ranked

A, B, C, D, E = (
    pairs(350).slice(first, stop - first) for first, stop in [(0, 100), (100, 180), (180, 260), (260, 330), (330, 350)]
)
SECOND = datetime(2026, 11, 27, tzinfo=UTC)


class WholeSeconds(MemoryFileSystem):
    """A store that has no etags, and times in whole seconds: all that is written here is written in the same one."""

    protocol = "seconds"
    store: ClassVar[dict[str, Any]] = {}
    pseudo_dirs: ClassVar[list[str]] = [""]

    @classmethod
    def _strip_protocol(cls, path: Any) -> Any:
        return super()._strip_protocol(path.removeprefix("seconds://"))

    def find(self, *given: Any, **named: Any) -> Any:
        found = super().find(*given, **named)
        return (
            {name: info | {"created": SECOND.timestamp()} for name, info in found.items()}
            if named.get("detail")
            else found
        )

    def info(self, path: str, **unused: Any) -> dict[str, Any]:
        return super().info(path) | {"created": SECOND}


fsspec.register_implementation("seconds", WholeSeconds)


def say_otherwise(table: pa.Table) -> pa.Table:
    """The same rows, with other documents of the same length."""
    docs = pc.replace_substring(table["doc"], "document", "argument")
    return table.set_column(table.column_names.index("doc"), "doc", docs)


class Failing(KnownScorer):
    """Has no score for about a half of all pairs, for a reason that may pass, and for a tenth, for one that stays."""

    async def score_prompts(self, prompts: Sequence[Prompt]) -> Result:
        found = await super().score_prompts(prompts)
        scores = [self.fail(score) if isinstance(score, float) else score for score in found.scores]
        return found._replace(scores=scores)

    def fail(self, score: float) -> float | Unscored:
        if score >= 0.6:
            return score
        return Unscored("the worker died", transient=True) if score < 0.5 else Unscored("too odd")


class Otherwise(Failing):
    """Scores in the reverse order of KnownScorer's."""

    def fail(self, score: float) -> float | Unscored:
        return 1 - score


class FailingForGood(Failing):
    """Has no score for the same tenth."""

    def fail(self, score: float) -> float | Unscored:
        return super().fail(score) if score >= 0.5 else score


class Place(NamedTuple):
    """A folder of input files, and runs of it to a folder beside it. root: of both."""

    input: Folder
    root: str
    rerank: Callable[..., dict[str, Any]]

    def put(self, **files: pa.Table) -> None:
        for name, table in files.items():
            self.input.put(f"{name}.parquet", encode(table))

    def run(self, name: str = "out", path: str = "", **named: Any) -> dict[str, Any]:
        output = {"path": f"{self.root}/{name}"} | named.pop("output", {})
        return self.rerank(path or self.input.url, output=output, **named)

    def ranked(self, name: str = "out") -> pa.Table:
        return ranked(f"{self.root}/{name}")

    def scores(self, name: str = "out") -> set[str]:
        """The names of the score files."""
        return {*Folder(f"{self.root}/{name}/scores").files()}
