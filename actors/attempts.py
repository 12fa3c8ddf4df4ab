"""What became of the units that were begun, kept outside the actors, which die with what they know.

A unit whose actor died runs alone from then on: nobody dies beside it, and its own death proves something. After
WHOLE deaths it is cut into parts, of which the one that dies is cut again, down to the row that kills whoever scores
it. That row ends without a score; every other has its own.

Deaths in a row without a single part that was scored, and starts in a row that failed, are bounded: an engine that
cannot live ends the run with its own words.
"""

from typing import Any, NamedTuple

from actors.contract import Unscored

WHOLE = 3
CUT = 16  # parts: a death costs the start of an engine, and each level of parts a death
STARTS, DEATHS = 5, 8  # more than these in a row, and some for each actor, end the run
KILLED = "its process was killed (out of memory? the node's and Ray's logs say more)"

Part = tuple[int, int]  # the first of a unit's prompts, and the one after the last


class EngineError(Exception):
    """Engines that die, or do not start, again and again. The run cannot go on."""


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


class Attempts:
    """The record of one run, told by its workers. actors: the most there may be."""

    def __init__(self, actors: int):
        self._starts_left = self._most_starts = STARTS + actors // 10
        self._most_deaths = DEATHS + 2 * actors
        self._starting: set[str] = set()  # actors
        self._units: dict[str, _Unit] = {}
        self._errors: dict[Worker, str] = {}  # of those dead that could say
        self._dead: set[Worker] = set()  # since a part was scored last
        self._last_words = KILLED

    def starting(self, worker: Worker) -> None:
        """It begins to build its engine. Raises EngineError where too many before it could not."""
        if worker.actor in self._starting:  # the process before it died and could not say why
            self._count_start(KILLED)
        self._starting.add(worker.actor)

    def start_failed(self, worker: Worker, error: str) -> None:
        """It could not build its engine. Raises EngineError where another try is one too many."""
        self._starting.discard(worker.actor)
        self._count_start(error)

    def started(self, worker: Worker) -> None:
        """It has its engine."""
        self._starting.discard(worker.actor)
        self._starts_left = self._most_starts

    def broke(self, worker: Worker, error: str) -> None:
        """Its engine broke, and it is about to end itself."""
        self._errors[worker] = error

    def enter(self, worker: Worker, name: str, prompts: int) -> Turn:
        """It was given a unit. Raises EngineError where workers die and nothing is scored any more."""
        unit = self._units.setdefault(name, _Unit([(0, prompts)]))
        if unit.running:
            self._count_death(unit)
        return Turn(unit.deaths > 0, list(unit.left), dict(unit.known), unit.line)

    def begin(self, worker: Worker, name: str, part: Part) -> None:
        """A part of a unit goes into its engine. Raises EngineError as `enter` does."""
        self._check_deaths()
        self._units[name].running = part, worker

    def scored(self, worker: Worker, name: str, part: Part, result: Result) -> None:
        """A part of a unit that was cut is scored."""
        unit = self._units[name]
        unit.settle(part, result)
        unit.proven = True
        self._dead.clear()

    def end(self, worker: Worker, name: str, line: Any) -> None:
        """A unit is put."""
        self._units[name] = _Unit([], line)
        self._dead.clear()

    def _count_start(self, error: str) -> None:
        self._starts_left -= 1
        if self._starts_left <= 0:
            raise EngineError(f"{self._most_starts} starts of an engine in a row failed, the last one thus: {error}")

    def _count_death(self, unit: "_Unit") -> None:
        assert unit.running
        worker = unit.running[1]
        self._last_words = self._errors.get(worker, KILLED)
        unit.die(self._last_words)
        if not unit.proven:  # else it is its rows' fault: others of it were scored
            self._dead.add(worker)
        self._check_deaths()

    def _check_deaths(self) -> None:
        if len(self._dead) > self._most_deaths:
            raise EngineError(
                f"{len(self._dead)} workers in a row died with nothing scored between, the last one thus: "
                f"{self._last_words}"
            )


class _Unit:
    def __init__(self, left: list[Part], line: Any = None):
        self.left, self.line = left, line
        self.known: dict[Part, Result] = {}
        self.running: tuple[Part, Worker] | None = None
        self.deaths = 0
        self.proven = False  # a part of it was scored

    def settle(self, part: Part, result: Result) -> None:
        self.left.remove(part)
        self.known[part] = result
        self.running = None

    def die(self, error: str) -> None:
        """Takes the death of what was running."""
        assert self.running
        (start, stop), _ = self.running
        self.running = None
        self.deaths += 1
        if self.deaths < WHOLE:
            return
        if stop - start == 1:
            reason = Unscored(f"the worker that scored it alone died: {error}")
            self.settle((start, stop), Result([reason], [None], {}))
            return
        size = -(-(stop - start) // CUT)
        self.left.remove((start, stop))
        self.left += [(first, min(first + size, stop)) for first in range(start, stop, size)]  # the others come first
