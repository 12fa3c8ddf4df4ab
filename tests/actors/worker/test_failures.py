"""What the record of attempts makes of deaths. Workers here are `Worker(actor, process)`."""

import math

import pytest

from actors.rerankers.contract import Unscored
from actors.worker.failures import (
    CUT,
    DEATHS,
    ROWS_DEATHS,
    STARTS,
    EngineError,
    FailureTracker,
    Part,
    Result,
    Turn,
    Worker,
)

A1, A2, B1 = Worker("a", "1"), Worker("a", "2"), Worker("b", "1")


def scores(part: Part) -> Result:
    return Result([float(i) for i in range(*part)], [None] * (part[1] - part[0]), {"new_tokens": 1})


def scored_with(poison: set[int], size: int) -> tuple[list[float | Unscored], int, int]:
    """Scores a unit whose worker dies of any part with a poison row in it, until nothing is left of it.

    Returns the scores, how often a worker died, and how many rows were scored, each time one was.
    """
    attempts, deaths, scored = FailureTracker(1), 0, 0
    while True:
        worker = Worker("a", str(deaths))
        turn = attempts.enter(worker, "u", size)
        assert turn.alone == (deaths > 0)
        known = turn.known
        for part in turn.left:
            attempts.begin(worker, "u", part)
            if poison & set(range(*part)):
                deaths += 1
                break
            known[part] = scores(part)
            scored += part[1] - part[0]
            attempts.scored(worker, "u", part, known[part])
        else:
            return [score for _, result in sorted(known.items()) for score in result.scores], deaths, scored


def test_a_start_that_hung_is_counted_with_its_watchdogs_words() -> None:
    attempts = FailureTracker(1)
    workers = [Worker("a", str(process)) for process in range(STARTS + 1)]
    for worker in workers[:STARTS]:
        attempts.starting(worker)
        attempts.broke(worker, "the engine made no progress for 3600 s")
    with pytest.raises(EngineError, match=rf"{STARTS} starts .* thus: the engine made no progress for 3600 s"):
        attempts.starting(workers[STARTS])


def test_puts_that_hang_end_the_run_at_the_third_worker() -> None:
    attempts = FailureTracker(1)
    for _ in range(2):  # an answer may be lost, and the call come twice
        attempts.put_hung(A1, "the scores of unit u were not put")
    attempts.put_hung(A2, "the scores of unit u were not put")
    with pytest.raises(
        EngineError, match="3 workers waited for a put in vain, the last one thus: the scores of unit v"
    ):
        attempts.put_hung(B1, "the scores of unit v were not put")


def test_a_unit_is_whole_and_in_company_the_first_time() -> None:
    assert FailureTracker(1).enter(A1, "u", 10) == Turn(False, [(0, 10)], {})


def test_a_unit_whose_worker_died_runs_alone_the_next_time() -> None:
    attempts = FailureTracker(1)
    attempts.enter(A1, "u", 10)
    attempts.begin(A1, "u", (0, 10))
    assert attempts.enter(A2, "u", 10) == Turn(True, [(0, 10)], {})


def test_a_unit_that_only_waited_when_its_worker_died_is_not_blamed() -> None:
    attempts = FailureTracker(1)
    attempts.enter(A1, "u", 10)
    assert attempts.enter(A2, "u", 10) == Turn(False, [(0, 10)], {})


def test_a_unit_that_was_put_is_not_scored_again() -> None:
    attempts = FailureTracker(1)
    attempts.enter(A1, "u", 10)
    attempts.begin(A1, "u", (0, 10))
    attempts.end(A1, "u", "its line")
    assert attempts.enter(A2, "u", 10).line == "its line"


def test_a_call_that_comes_twice_counts_once() -> None:
    attempts = FailureTracker(1)
    for number in range(STARTS):
        worker = Worker("a", str(number))
        for _ in range(2):
            attempts.starting(worker)
        if number < STARTS - 1:
            for _ in range(2):
                attempts.start_failed(worker, "no room")
    with pytest.raises(EngineError):
        attempts.start_failed(Worker("a", str(STARTS - 1)), "no room")


@pytest.mark.parametrize("size", [1, 2, 17, 256, 8192])
@pytest.mark.parametrize("where", [0.0, 0.5, 1.0])
def test_poison_is_cut_out_of_a_unit(size: int, where: float) -> None:
    """The row that kills whoever scores it is found, and every other row is scored once it is in a part of its own."""
    poison = int(where * (size - 1))
    got, deaths, scored = scored_with({poison}, size)
    assert [i for i, score in enumerate(got) if isinstance(score, Unscored)] == [poison]
    assert [score for score in got if not isinstance(score, Unscored)] == [i for i in range(size) if i != poison]
    assert scored == size - 1  # nothing was scored twice
    assert deaths <= 3 + math.ceil(math.log(size, CUT)) + 1  # whole, in parts of each size, and once more to be sure


def test_two_poison_rows_are_both_found() -> None:
    poison = {3, 200}
    got, _, _ = scored_with(poison, 256)
    assert {i for i, score in enumerate(got) if isinstance(score, Unscored)} == poison


def test_the_reason_of_a_poison_row_is_what_its_engine_said() -> None:
    attempts = FailureTracker(1)
    for process in map(str, range(4)):
        worker = Worker("a", process)
        attempts.enter(worker, "u", 1)
        attempts.begin(worker, "u", (0, 1))
        attempts.broke(worker, "RuntimeError: CUDA out of memory")
    turn = attempts.enter(Worker("a", "4"), "u", 1)
    assert turn.left == []
    assert turn.known[0, 1].scores == [
        Unscored("the worker that scored it alone died: RuntimeError: CUDA out of memory", transient=True)
    ]


def test_workers_that_die_with_nothing_scored_between_end_the_run() -> None:
    attempts = FailureTracker(1)
    with pytest.raises(EngineError, match=f"{DEATHS + 3} workers in a row.*: RuntimeError: no kernel image"):
        for i in range(DEATHS + 3):
            worker = Worker("a", str(i))
            attempts.enter(worker, f"u{i}", 5)
            attempts.begin(worker, f"u{i}", (0, 5))
            attempts.broke(worker, "RuntimeError: no kernel image")
            attempts.enter(Worker("a", f"after {i}"), f"u{i}", 5)
    assert i == DEATHS + 2


@pytest.mark.parametrize("size", [20, 256])
def test_an_engine_that_dies_of_every_row_ends_the_run(size: int) -> None:
    attempts, deaths = FailureTracker(1), 0
    with pytest.raises(EngineError):
        while True:
            worker = Worker("a", str(deaths))
            for unit in "uvw":
                for part in attempts.enter(worker, unit, size).left[:1]:
                    attempts.begin(worker, unit, part)
                    deaths += 1
                    worker = Worker("a", str(deaths))
    assert deaths <= DEATHS + 2 + 3  # two for the actor, and three whose deaths nobody has noticed yet


def test_many_poison_rows_side_by_side_do_not() -> None:
    poison = set(range(100, 140))
    got, deaths, _ = scored_with(poison, 256)
    assert sum(isinstance(score, Unscored) for score in got) == len(poison) < deaths


def test_a_row_that_somebody_died_of_once_may_be_innocent() -> None:
    attempts = FailureTracker(1)
    for process in map(str, range(3)):
        attempts.enter(Worker("a", process), "u", 1)
        attempts.begin(Worker("a", process), "u", (0, 1))
    assert attempts.enter(Worker("a", "3"), "u", 1) == Turn(True, [(0, 1)], {})


def test_a_unit_that_was_scored_when_its_worker_died_is_put_and_not_scored_again() -> None:
    attempts = FailureTracker(1)
    attempts.enter(A1, "u", 10)
    attempts.begin(A1, "u", (0, 10))
    attempts.scored(A1, "u", (0, 10), scores((0, 10)))
    assert attempts.enter(A2, "u", 10) == Turn(False, [], {(0, 10): scores((0, 10))})


def test_a_task_that_ray_sends_twice_to_a_living_worker_is_no_death() -> None:
    attempts = FailureTracker(1)
    for _ in range(2):
        assert attempts.enter(A1, "u", 10) == Turn(False, [(0, 10)], {})
        attempts.begin(A1, "u", (0, 10))
    for _ in range(2):
        attempts.scored(A1, "u", (0, 10), scores((0, 10)))
        attempts.end(A1, "u", "line")


def test_a_machine_on_which_everything_dies_is_not_for_ever_the_rows_fault() -> None:
    attempts, deaths = FailureTracker(1), 3
    for process in map(str, range(3)):
        attempts.enter(Worker("a", process), "u", 8192)
        attempts.begin(Worker("a", process), "u", (0, 8192))
    first = attempts.enter(Worker("a", "3"), "u", 8192).left[0]
    attempts.begin(Worker("a", "3"), "u", first)
    attempts.scored(Worker("a", "3"), "u", first, scores(first))
    with pytest.raises(EngineError):
        while True:
            deaths += 1
            attempts.begin(Worker("b", str(deaths)), "u", attempts.enter(Worker("b", str(deaths)), "u", 8192).left[0])
    assert ROWS_DEATHS < deaths < 2 * ROWS_DEATHS


def test_workers_that_die_before_they_begin_anything_end_the_run() -> None:
    attempts = FailureTracker(1)
    with pytest.raises(EngineError):
        for i in range(DEATHS + 4):
            attempts.starting(Worker("a", str(i)))
            attempts.started(Worker("a", str(i)))
    assert i == DEATHS + 3


def test_one_node_that_cannot_start_an_engine_does_not_end_a_run_that_goes_on() -> None:
    attempts = FailureTracker(2)
    for i in range(5 * STARTS):
        attempts.starting(Worker("bad", str(i)))
        attempts.start_failed(Worker("bad", str(i)), "no device")
        if i % 3 == 0:
            attempts.enter(B1, f"u{i}", 5)
            attempts.begin(B1, f"u{i}", (0, 5))
            attempts.scored(B1, f"u{i}", (0, 5), scores((0, 5)))


def test_one_death_with_many_units_inside_counts_once() -> None:
    attempts = FailureTracker(1)
    for i in range(5 * DEATHS):
        attempts.enter(A1, f"u{i}", 5)
        attempts.begin(A1, f"u{i}", (0, 5))
    for i in range(5 * DEATHS):
        assert attempts.enter(A2, f"u{i}", 5).alone


def test_starts_that_fail_in_a_row_end_the_run_with_the_last_error() -> None:
    attempts = FailureTracker(1)
    for i in range(STARTS - 1):
        attempts.starting(Worker("a", str(i)))
        attempts.start_failed(Worker("a", str(i)), "ValueError: no room")
    attempts.starting(B1)
    with pytest.raises(EngineError, match=f"{STARTS} starts of an engine in a row failed.*: ValueError: no room"):
        attempts.start_failed(B1, "ValueError: no room")


def test_a_start_that_works_is_a_new_beginning() -> None:
    attempts = FailureTracker(1)
    for i in range(10 * STARTS):
        worker = Worker(str(i), "1")
        attempts.starting(worker)
        if i % 2:
            attempts.start_failed(worker, "now and then")
        else:
            attempts.started(worker)


def test_starts_that_die_without_a_word_are_counted_too() -> None:
    attempts = FailureTracker(1)
    with pytest.raises(EngineError, match="its process was killed"):
        for i in range(STARTS + 1):
            attempts.starting(Worker("a", str(i)))
    assert i == STARTS


def test_rows_that_killed_their_workers_before_do_not_end_a_run_that_tries_them_again() -> None:
    """Eight units of one poison row each, one actor: nothing is ever scored, and every row gets its reason."""
    attempts, process = FailureTracker(1), 0
    for name in map(str, range(8)):
        while True:
            worker = Worker("a", str(process))
            turn = attempts.enter(worker, name, 1, again=True)
            if not turn.left:
                break
            attempts.begin(worker, name, turn.left[0])
            process += 1
    assert process > DEATHS + 2
