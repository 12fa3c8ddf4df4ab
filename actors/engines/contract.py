"""What an engine is: how it is asked, and what the pipeline may ask of it before one is built."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from actors.engines.load import Load
from actors.rerankers.contract import Reply, Task, Unscored


class EngineDied(Exception):
    """The engine broke and scores nothing any more. The message says how."""


class EngineRequest(NamedTuple):
    """One sequence for the engine. number: by which its reply is known. See Prompt for `boundary`.

    follows: a follow-up to an earlier reply. fresh: nothing of it is taken from the prefix cache.
    """

    number: int
    tokens: list[int]
    boundary: int | None
    max_tokens: int
    follows: bool = False
    fresh: bool = False

    @property
    def reads(self) -> bool:
        """Whether it is a one-token follow-up."""
        return self.follows and self.max_tokens == 1


Deliver = Callable[[list[tuple[int, Reply | Unscored]] | BaseException], None]


class Engine(Protocol):
    """An engine that is built, for one kind of request."""

    def ask(self, requests: list[EngineRequest], deliver: Deliver) -> None:
        """Takes sequences, from any thread. `deliver` gets the numbered replies, those of one step at a time, in the
        engine's thread; Unscored where the engine refuses a sequence; or EngineDied."""

    def load(self) -> Load:
        """How busy it is; from any thread."""


class Watched(Protocol):
    """Ends the process when what is expected does not happen in time."""

    def expect(self, seconds: float) -> None: ...

    def rest(self) -> None: ...


class Installed(NamedTuple):
    """The installed engine: its version, and whether it computes on CPUs."""

    version: str
    cpu: bool


class EngineFacts(Protocol):
    """What is known of an engine without importing it: a module of this form for each engine (vllm/facts.py).

    arguments: the `engine` section of a config. name: as messages have it.
    """

    name: str
    RESERVED: tuple[str, ...]  # arguments that the reranker section decides

    def installed(self) -> Installed:
        """Raises LookupError where it is not installed, with a line that says what to do."""

    def argument_names(self) -> set[str]:
        """The names of all arguments."""

    def retired_architectures(self) -> dict[str, str]:
        """Architectures that it no longer runs -> its last version that did."""

    def check_arguments(self, arguments: dict[str, Any], task: Task, reranker: str) -> None:
        """Raises ValueError, with the whole line, for values that cannot go with a reranker's task."""

    def count_ranks(self, arguments: dict[str, Any]) -> int:
        """Processes of one engine, each with a GPU."""

    def max_length(self, arguments: dict[str, Any]) -> Any:
        """The most tokens of a prompt with its answer, as the config says it; None where it does not."""

    def needs_weights(self, arguments: dict[str, Any]) -> bool:
        """Whether it loads the model's weights."""

    def scoring_arguments(self, arguments: dict[str, Any], exact: bool) -> dict[str, Any]:
        """The arguments that change a score; with `exact` also those that change its last digits alone."""

    def loaded_dtype(self, arguments: dict[str, Any], stored: str) -> str:
        """The type in which weights that are stored as `stored` are computed with."""

    def is_quantised(self, arguments: dict[str, Any]) -> bool:
        """Whether the arguments ask for quantised weights."""

    def cached_bytes(self, arguments: dict[str, Any], number: int) -> int:
        """Bytes of one cached number of keys and values, where one of the loaded type has `number`."""

    def source_files(self, task: Task) -> list[Path]:
        """The files of code that say how it is asked and read."""
