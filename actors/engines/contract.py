"""The contract between an engine and the rest: how an engine is asked, and what is known of one that is not built yet.

`Engine` is an engine with a model in memory; `EngineFacts` is a module that describes and builds engines of one kind.
"""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, Protocol

from actors.engines.load import Load
from actors.rerankers.contract import Reply, Request, Task, Unscored
from actors.rerankers.settings import Settings


class EngineDied(Exception):
    """The engine broke and will give no more replies. The message says how."""


class EngineRequest(NamedTuple):
    """One sequence for the engine.

    number: the caller's own number for it, which comes back with the reply.
    boundary: see Prompt.
    max_tokens: the most tokens to generate.
    follows: it is a follow-up to an earlier reply, and goes before sequences that are not.
    skip_cache: nothing of it is taken from the prefix cache.
    """

    number: int
    tokens: list[int]
    boundary: int | None
    max_tokens: int
    follows: bool = False
    skip_cache: bool = False

    @property
    def one_token_follow_up(self) -> bool:
        """Whether it is a follow-up that reads the labels' probabilities at one new token."""
        return self.follows and self.max_tokens == 1


Deliver = Callable[[list[tuple[int, Reply | Unscored]] | BaseException], None]


class Engine(Protocol):
    """An engine with its model in memory, for one kind of request."""

    def ask(self, requests: list[EngineRequest], deliver: Deliver) -> None:
        """Takes sequences and returns at once; may be called from any thread.

        deliver: called in the engine's thread with a list of (number, reply), one list a step. A sequence that the
        engine refuses gets Unscored in place of a reply. Called with EngineDied when the engine breaks.
        """

    def load(self) -> Load:
        """How busy the engine is; may be called from any thread."""


class Watchdog(Protocol):
    """Ends the process when expected progress does not happen in time (actors/worker/watchdog.py)."""

    def expect(self, seconds: float) -> None:
        """Something must happen within `seconds` from now; replaces the expectation before it."""

    def rest(self) -> None:
        """Nothing is expected until the next call of `expect`."""


class Installed(NamedTuple):
    """The installed engine: its version, and whether it computes on CPUs."""

    version: str
    cpu: bool


class EngineFacts(Protocol):
    """An engine, described without importing it, which may take seconds: a module with these names (vllm/facts.py).

    name: the engine's name in messages. numbers_version: raised when our code asks the same engine in another way, or
    reads its outputs so, that other numbers come of it. RESERVED: arguments that are set from the reranker section, so
    the engine section may not hold them. `arguments` is always the `engine` section of a config.
    """

    name: str
    numbers_version: int
    RESERVED: tuple[str, ...]

    def installed(self) -> Installed:
        """The installed build. Raises LookupError, with a line that says what to do, where there is none."""

    def argument_names(self) -> set[str]:
        """The names of all arguments of the engine."""

    def retired_architectures(self) -> dict[str, str]:
        """Model architectures that the engine no longer runs -> its last version that did."""

    def runs_architecture(self, architecture: str) -> bool:
        """Whether the engine has a model for an architecture, as config.json names it."""

    def read_task(self, architecture: str) -> Task | None:
        """The task of an architecture, by its name: generate, embed or classify; None where that does not say."""

    def converts(self, arguments: dict[str, Any]) -> bool:
        """Whether the arguments have the model do another thing than its architecture does."""

    def sets_pooling(self, arguments: dict[str, Any]) -> bool:
        """Whether the arguments say how hidden states become a vector."""

    def embedding_modules(self) -> set[str]:
        """The classes of sentence-transformers that the engine runs behind a model, by their whole names."""

    def has_activation(self, name: str) -> bool:
        """Whether the engine has an activation function behind such a Dense, by the name in its config."""

    def check_arguments(self, arguments: dict[str, Any], task: Task, reranker: str) -> None:
        """Raises ValueError, with a whole line, for values that are wrong or do not go with the reranker's task."""

    def count_ranks(self, arguments: dict[str, Any]) -> int:
        """The number of processes of one engine, each of which takes a GPU."""

    def max_length(self, arguments: dict[str, Any]) -> Any:
        """The most tokens of a prompt and its answer that the arguments allow; None where they do not say."""

    def find_longest(self, config: dict[str, Any], saved: int | None) -> int | None:
        """The most tokens that the engine lets a model of this config.json take; None where that is not known. saved:
        sentence-transformers' max_seq_length."""

    def has_quantization(self, method: str) -> bool:
        """Whether the engine has a method of quantisation, as quantization_config of config.json names it."""

    def loads_names(self, architecture: str, names: Iterable[str]) -> bool:
        """Whether the engine loads a checkpoint with these names of tensors, all of which are the architecture's."""

    def needs_weights(self, arguments: dict[str, Any]) -> bool:
        """Whether the engine loads the model's weights."""

    def reads_checkpoint(self, arguments: dict[str, Any]) -> bool:
        """Whether the weights come from the model's own files, in the form in which transformers saves them."""

    def find_merge_obstacle(self, arguments: dict[str, Any]) -> str | None:
        """The argument, and its value, because of which the engine cannot merge an adapter as it loads the model."""

    def config_overrides(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """The keys of the model's config.json that the arguments replace, and their values."""

    def find_other_steps(self, config: dict[str, Any], biased: bool) -> list[str]:
        """The keys of config.json that change a model's logits and are ignored where only those of the labels are
        computed. biased: its head has a bias."""

    def scoring_arguments(self, arguments: dict[str, Any], exact: bool) -> dict[str, Any]:
        """The arguments that change a score. exact: include those that change only its last digits."""

    def loaded_dtype(self, arguments: dict[str, Any], stored: str) -> str:
        """The type that the weights have in memory. stored: their type in the model's files."""

    def is_quantised(self, arguments: dict[str, Any]) -> bool:
        """Whether the arguments ask for quantised weights."""

    def cached_bytes(self, arguments: dict[str, Any], number: int) -> int:
        """Bytes of one number in the key-value cache. number: bytes of one number of the loaded type."""

    def build_engine(
        self,
        settings: Settings,
        arguments: dict[str, Any],
        request: Request,
        label_ids: list[int],
        stall_seconds: float,
        watchdog: Watchdog,
        deterministic: bool,
    ) -> Engine:
        """Loads the model, and returns when the engine is ready.

        label_ids: the tokens of request.labels in the model's vocabulary.
        stall_seconds: with work in hand, `watchdog` ends the process after this time without progress.
        deterministic: the replies to a sequence must not depend on the sequences computed beside it.
        """
