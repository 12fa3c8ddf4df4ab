"""The record of failures of a run. It is kept outside the workers, which lose all they know when they die.

A unit whose worker died is scored alone from then on, so that its rows are the likely cause if its worker dies again.
At the third death the unit is cut into spans. A span whose worker dies is cut again, down to a single row. When two
workers have died over a single row, the row ends without a score; all other rows get theirs.

Failed starts in a row, and deaths in a row with nothing scored between them, are bounded: an engine that cannot run
ends the run with the engine's own error.
"""

import pickle
import zlib
from typing import Any, NamedTuple

from actors.rerankers.contract import Unscored

WHOLE = 3  # deaths after which a unit is cut
CUT = 16  # spans: each level of spans costs a death, and each death the start of an engine
STARTS = 5  # failed starts in a row that end the run; one more for each ten actors
DEATHS = 8  # deaths in a row that are allowed; two more for each actor
ROWS_DEATHS = 64  # further deaths in a row that are allowed where rows may be the cause: over units with scored spans
PUTS = 3  # workers whose put was never answered that end the run
KILLED = "its process was killed (out of memory? the node's and Ray's logs say more)"

Span = tuple[int, int]  # the first of a unit's prompts (or queries), and the one after the last


class EngineError(Exception):
    """Workers die, or fail to start, again and again. The run cannot go on."""


class Worker(NamedTuple):
    """A process of an actor. An actor that is started again becomes another worker."""

    actor: str
    process: str


class Result(NamedTuple):
    """The result of a span: the score of each prompt, the text that the model wrote for it, and figures to sum.

    For queries both are lists of their candidates'; or one reason, and None, for all candidates of a query.
    """

    scores: list[Any]
    texts: list[Any]
    figures: dict[str, float]


class Turn(NamedTuple):
    """How a worker is to score a unit now.

    alone: whether no other unit may be scored beside it. left: the spans to score, in their order. known: the results
    of the other spans. row: of a unit that was written before, what its worker returned; it is not to be scored again.
    """

    alone: bool
    left: list[Span]
    known: dict[Span, Result]
    row: Any = None


class FailureTracker:
    """The record of one run, kept from its workers' reports. actors: the most there may be.

    A worker may make a call twice, since an answer can be lost; the second changes nothing.
    """

    def __init__(self, actors: int):
        self._starts_left = self._most_starts = STARTS + actors // 10
        self._most_deaths = DEATHS + 2 * actors
        self._starting: dict[str, Worker] = {}  # actor -> its worker, which is building its engine
        self._fresh: dict[str, Worker] = {}  # actor -> its worker, which has its engine and has begun nothing
        self._units: dict[str, _Unit] = {}  # that were begun
        self._written: dict[str, bytes] = {}  # the rows of those that are written, each compressed by the first one
        self._first_row = b""
        self._errors: dict[Worker, str] = {}  # dead worker -> why, where it could report that
        self._hung: set[Worker] = set()
        self._dead: dict[Worker, bool] = {}  # since the last scored span -> whether rows may be the cause

    def starting(self, worker: Worker) -> None:
        """The worker begins to build its engine. Raises EngineError after too many failed starts, or deaths."""
        previous = self._starting.get(worker.actor, worker)
        if previous != worker:  # the actor's previous process died; its watchdog may have reported why
            self._count_failed_start(self._find_cause(previous))
        elif fresh := self._fresh.pop(worker.actor, None):
            self._count_death(fresh, rows_suspected=False)
        self._starting[worker.actor] = worker

    def start_failed(self, worker: Worker, error: str) -> None:
        """The worker could not build its engine. Raises EngineError after too many failed starts."""
        if self._starting.pop(worker.actor, None):
            self._count_failed_start(error)

    def started(self, worker: Worker) -> None:
        """The worker has its engine."""
        self._starting.pop(worker.actor, None)
        self._fresh[worker.actor] = worker
        self._starts_left = self._most_starts

    def broke(self, worker: Worker, error: str) -> None:
        """The worker's engine broke, and the worker is about to end itself."""
        self._errors[worker] = error

    def put_hung(self, worker: Worker, error: str) -> None:
        """A put of the worker was never answered, and the worker is about to end itself.

        Raises EngineError at the third of the run, whatever was scored between them: a dead disk or mount stays dead,
        and each such put costs an hour.
        """
        self.broke(worker, error)
        self._hung.add(worker)
        if len(self._hung) >= PUTS:
            raise EngineError(f"{len(self._hung)} workers waited for a put that never ended, the last one: {error}")

    def enter(self, worker: Worker, name: str, prompts: int, again: bool = False) -> Turn:
        """The worker was given a unit. Raises EngineError after too many deaths with nothing scored between them.

        again: the unit's rows killed their worker in an earlier run. If one of them does so again, the engine is not
        suspected.
        """
        if written := self._written.get(name):
            row = pickle.loads(zlib.decompressobj(zdict=self._first_row).decompress(written))
            return Turn(False, [], {}, row)
        unit = self._units.setdefault(name, _Unit([(0, prompts)]))
        if unit.running and unit.running[1] != worker:  # Ray may send a task twice to one that lives
            dead = unit.running[1]
            row_found = unit.count_death(self._find_cause(dead))
            if row_found and again:
                self._dead.clear()
            else:
                self._count_death(dead, rows_suspected=unit.proven or again)
        return Turn(unit.deaths > 0, list(unit.left), dict(unit.known))

    def begin(self, worker: Worker, name: str, span: Span) -> None:
        """The worker passes a span of a unit to its engine. Raises EngineError as `enter` does."""
        self._check_deaths()
        self._fresh.pop(worker.actor, None)
        if unit := self._units.get(name):  # else another worker was given it, too, and has written it
            unit.running = span, worker

    def scored(self, worker: Worker, name: str, span: Span, result: Result) -> None:
        """The worker's engine has scored a span of a unit."""
        if unit := self._units.get(name):  # as above
            unit.settle(span, result)
            unit.proven = True
        self._dead.clear()
        self._starts_left = self._most_starts

    def end(self, worker: Worker, name: str, row: Any) -> None:
        """The worker has written a unit. row: what it returns for it."""
        data = pickle.dumps(row)
        self._first_row = self._first_row or data
        compress = zlib.compressobj(zdict=self._first_row)
        self._written[name] = compress.compress(data) + compress.flush()
        self._units.pop(name, None)

    def _count_failed_start(self, error: str) -> None:
        self._starts_left -= 1
        if self._starts_left <= 0:
            raise EngineError(f"{self._most_starts} starts of an engine in a row failed, the last one: {error}")

    def _count_death(self, worker: Worker, rows_suspected: bool) -> None:
        self._dead[worker] = rows_suspected and self._dead.get(worker, True)
        self._check_deaths()

    def _check_deaths(self) -> None:
        unexplained = len(self._dead) - sum(self._dead.values())
        if unexplained > self._most_deaths or len(self._dead) > self._most_deaths + ROWS_DEATHS:
            raise EngineError(
                f"{len(self._dead)} workers in a row died with nothing scored between, the last one: "
                f"{self._find_cause(next(reversed(self._dead)))}"
            )

    def _find_cause(self, dead: Worker) -> str:
        return self._errors.get(dead, KILLED)


class _Unit:
    """A unit that was begun. left: spans to score."""

    def __init__(self, left: list[Span]):
        self.left = left
        self.known: dict[Span, Result] = {}
        self.running: tuple[Span, Worker] | None = None
        self.deaths = 0
        self.suspects: set[Span] = set()  # single rows that one worker died over
        self.proven = False  # a span of it was scored

    def settle(self, span: Span, result: Result) -> None:
        """Takes the result of a span."""
        if span in self.left:  # else another worker was given it, too, and was faster
            self.left.remove(span)
            self.known[span] = result
            self.running = None

    def count_death(self, error: str) -> bool:
        """Counts the death of the worker of the running span. Returns whether a row was found to be the cause."""
        assert self.running
        span, _ = self.running
        self.running = None
        self.deaths += 1
        if self.deaths < WHOLE or span not in self.left:
            return False
        start, stop = span
        if span in self.suspects:
            reason = f"the worker that scored it alone died: {error}"
            self.settle(span, Result([Unscored(reason, transient=True)], [None], {}))
            return True
        if stop - start == 1:
            self.suspects.add(span)
        size = -(-(stop - start) // CUT)
        self.left.remove(span)
        self.left += [(first, min(first + size, stop)) for first in range(start, stop, size)]  # the others come first
        return False
