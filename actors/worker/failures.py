"""What became of the units that were begun, kept outside the actors, which die with what they know.

A unit whose actor died runs alone from then on: nobody dies beside it, and its own death proves something. At its
third death it is cut into parts, of which the one that dies is cut again, down to the row that kills whoever scores
it, twice. That row ends without a score; every other has its own.

Starts in a row that fail, and deaths in a row with nothing scored between them, are bounded: an engine that cannot live
ends the run with its own words.
"""

import pickle
import zlib
from typing import Any, NamedTuple

from actors.rerankers.contract import Unscored

WHOLE = 3  # deaths, of which the last cuts the unit
CUT = 16  # parts: a death costs the start of an engine, and each level of parts a death
STARTS = 5  # that fail in a row end the run; one more for each ten actors
DEATHS = 8  # in a row, and two for each actor, are allowed
ROWS_DEATHS = 64  # and so many more over units of which other parts were scored: it may well be their rows
PUTS = 3  # that were never answered, by three workers of the run
KILLED = "its process was killed (out of memory? the node's and Ray's logs say more)"

Part = tuple[int, int]  # the first of a unit's prompts, and the one after the last


class EngineError(Exception):
    """Workers that die, or do not start, again and again. The run cannot go on."""


class Worker(NamedTuple):
    """A process of an actor; an actor that was started again is another worker."""

    actor: str
    process: str


class Result(NamedTuple):
    """What a part came to: the score of each prompt, what the model wrote for it, and figures to be summed."""

    scores: list[float | Unscored]
    texts: list[str | None]
    figures: dict[str, float]


class Turn(NamedTuple):
    """How a unit is to be scored now: whether nothing may run beside it, the parts that are left, in their order, and
    what is known of the others.

    line: of a unit that is put already, what its scorer returned; it is not to be scored again.
    """

    alone: bool
    left: list[Part]
    known: dict[Part, Result]
    line: Any = None


class FailureTracker:
    """The record of one run, told by its workers. actors: the most there may be.

    Every call may come twice, for an answer can be lost, and does no more than once.
    """

    def __init__(self, actors: int):
        self._starts_left = self._most_starts = STARTS + actors // 10
        self._most_deaths = DEATHS + 2 * actors
        self._starting: dict[str, Worker] = {}  # actor -> its worker, that builds its engine
        self._fresh: dict[str, Worker] = {}  # actor -> its worker, that has its engine and has begun nothing
        self._units: dict[str, _Unit] = {}
        self._errors: dict[Worker, str] = {}  # of those dead that could say
        self._hung: set[Worker] = set()
        self._dead: dict[Worker, bool] = {}  # since a part was scored last -> whether it may well be the rows' fault

    def starting(self, worker: Worker) -> None:
        """It begins to build its engine. Raises EngineError where too many before it could not, or died at once."""
        before = self._starting.get(worker.actor, worker)
        if before != worker:  # the process before it died; its watchdog may have said why
            self._count_start(self._words(before))
        elif fresh := self._fresh.pop(worker.actor, None):
            self._count_death(fresh, explained=False)
        self._starting[worker.actor] = worker

    def start_failed(self, worker: Worker, error: str) -> None:
        """It could not build its engine. Raises EngineError where another try is one too many."""
        if self._starting.pop(worker.actor, None):
            self._count_start(error)

    def started(self, worker: Worker) -> None:
        """It has its engine."""
        self._starting.pop(worker.actor, None)
        self._fresh[worker.actor] = worker
        self._starts_left = self._most_starts

    def broke(self, worker: Worker, error: str) -> None:
        """Its engine broke, and it is about to end itself."""
        self._errors[worker] = error

    def put_hung(self, worker: Worker, error: str) -> None:
        """A put of its was never answered, and it is about to end itself. Raises EngineError at the third of the run,
        whatever was scored between: a disk or mount that is dead stays dead, and each costs an hour."""
        self.broke(worker, error)
        self._hung.add(worker)
        if len(self._hung) >= PUTS:
            raise EngineError(f"{len(self._hung)} workers waited for a put in vain, the last one thus: {error}")

    def enter(self, worker: Worker, name: str, prompts: int, again: bool = False) -> Turn:
        """It was given a unit. Raises EngineError where workers die and nothing is scored any more.

        again: these are rows that killed their worker in an earlier run, whose engines lived: that one of them does so
        once more is no sign against the engine.
        """
        unit = self._units.setdefault(name, _Unit([(0, prompts)]))
        if unit.line is not None:
            return Turn(False, [], {}, pickle.loads(zlib.decompress(unit.line)))
        if unit.running and unit.running[1] != worker:  # Ray may send a task twice to one that lives
            dead = unit.running[1]
            convicted = unit.die(self._words(dead))
            if convicted and again:
                self._dead.clear()
            else:
                self._count_death(dead, explained=unit.proven or again)
        return Turn(unit.deaths > 0, list(unit.left), dict(unit.known))

    def begin(self, worker: Worker, name: str, part: Part) -> None:
        """A part of a unit goes into its engine. Raises EngineError as `enter` does."""
        self._check_deaths()
        self._fresh.pop(worker.actor, None)
        self._units[name].running = part, worker

    def scored(self, worker: Worker, name: str, part: Part, result: Result) -> None:
        """A part of a unit has left its engine, with scores."""
        self._units[name].settle(part, result)
        self._units[name].proven = True
        self._dead.clear()
        self._starts_left = self._most_starts

    def end(self, worker: Worker, name: str, line: Any) -> None:
        """A unit is put."""
        self._units[name] = _Unit([], zlib.compress(pickle.dumps(line)))

    def _count_start(self, error: str) -> None:
        self._starts_left -= 1
        if self._starts_left <= 0:
            raise EngineError(f"{self._most_starts} starts of an engine in a row failed, the last one thus: {error}")

    def _count_death(self, worker: Worker, explained: bool) -> None:
        self._dead[worker] = explained and self._dead.get(worker, True)
        self._check_deaths()

    def _check_deaths(self) -> None:
        unexplained = len(self._dead) - sum(self._dead.values())
        if unexplained > self._most_deaths or len(self._dead) > self._most_deaths + ROWS_DEATHS:
            raise EngineError(
                f"{len(self._dead)} workers in a row died with nothing scored between, the last one thus: "
                f"{self._words(next(reversed(self._dead)))}"
            )

    def _words(self, dead: Worker) -> str:
        return self._errors.get(dead, KILLED)


class _Unit:
    """line: of a unit that is put, compressed."""

    def __init__(self, left: list[Part], line: bytes | None = None):
        self.left, self.line = left, line
        self.known: dict[Part, Result] = {}
        self.running: tuple[Part, Worker] | None = None
        self.deaths = 0
        self.suspects: set[Part] = set()  # single rows that somebody died of once
        self.proven = False  # a part of it was scored

    def settle(self, part: Part, result: Result) -> None:
        if part in self.left:  # else another worker was given it, too, and was first
            self.left.remove(part)
            self.known[part] = result
            self.running = None

    def die(self, error: str) -> bool:
        """Takes the death of what was running. Says whether a row is found to be the cause, and has its reason."""
        assert self.running
        part, _ = self.running
        self.running = None
        self.deaths += 1
        if self.deaths < WHOLE or part not in self.left:
            return False
        start, stop = part
        if part in self.suspects:
            reason = f"the worker that scored it alone died: {error}"
            self.settle(part, Result([Unscored(reason, transient=True)], [None], {}))
            return True
        if stop - start == 1:
            self.suspects.add(part)
        size = -(-(stop - start) // CUT)
        self.left.remove(part)
        self.left += [(first, min(first + size, stop)) for first in range(start, stop, size)]  # the others come first
        return False
