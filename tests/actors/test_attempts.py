"""What the record of attempts makes of deaths. Workers here are `Worker(actor, process)`."""

import math

import pytest

from actors.attempts import CUT, DEATHS, STARTS, Attempts, EngineError, Part, Result, Turn, Worker
from actors.contract import Unscored

A1, A2, B1 = Worker("a", "1"), Worker("a", "2"), Worker("b", "1")


def scores(part: Part) -> Result:
    return Result([float(i) for i in range(*part)], [None] * (part[1] - part[0]), {"new_tokens": 1})


def test_a_unit_is_whole_and_in_company_the_first_time() -> None:
    assert Attempts(1).enter(A1, "u", 10) == Turn(False, [(0, 10)], {})


def test_a_unit_whose_worker_died_runs_alone_the_next_time() -> None:
    attempts = Attempts(1)
    attempts.enter(A1, "u", 10)
    attempts.begin(A1, "u", (0, 10))
    assert attempts.enter(A2, "u", 10) == Turn(True, [(0, 10)], {})


def test_a_unit_that_only_waited_when_its_worker_died_is_not_blamed() -> None:
    attempts = Attempts(1)
    attempts.enter(A1, "u", 10)
    assert attempts.enter(A2, "u", 10) == Turn(False, [(0, 10)], {})


def test_a_unit_that_was_put_is_not_scored_again() -> None:
    attempts = Attempts(1)
    attempts.enter(A1, "u", 10)
    attempts.begin(A1, "u", (0, 10))
    attempts.end(A1, "u", "its line")
    assert attempts.enter(A2, "u", 10).line == "its line"


@pytest.mark.parametrize("size", [1, 2, 17, 256, 8192])
@pytest.mark.parametrize("where", [0.0, 0.5, 1.0])
def test_poison_is_cut_out_of_a_unit(size: int, where: float) -> None:
    """The row that kills whoever scores it is found, and every other row is scored once it is in a part of its own."""
    poison = int(where * (size - 1))
    attempts, deaths, scored = Attempts(1), 0, 0
    while True:
        turn = attempts.enter(Worker("a", str(deaths)), "u", size)
        assert turn.alone == (deaths > 0)
        known = dict(turn.known)
        for part in turn.left:
            attempts.begin(Worker("a", str(deaths)), "u", part)
            if part[0] <= poison < part[1]:
                deaths += 1
                break
            known[part] = scores(part)
            scored += part[1] - part[0]
            attempts.scored(Worker("a", str(deaths)), "u", part, known[part])
        else:
            break
    got = [score for _, result in sorted(known.items()) for score in result.scores]
    assert [i for i, score in enumerate(got) if isinstance(score, Unscored)] == [poison]
    assert [score for score in got if not isinstance(score, Unscored)] == [i for i in range(size) if i != poison]
    assert scored == size - 1  # nothing was scored twice
    levels = math.ceil(math.log(size, CUT)) if size > 1 else 0
    assert deaths <= 3 + levels + (levels > 0)


def test_two_poison_rows_are_both_found() -> None:
    attempts, deaths, poison = Attempts(1), 0, {3, 200}
    while True:
        turn = attempts.enter(Worker("a", str(deaths)), "u", 256)
        known = dict(turn.known)
        for part in turn.left:
            attempts.begin(Worker("a", str(deaths)), "u", part)
            if poison & set(range(*part)):
                deaths += 1
                break
            attempts.scored(Worker("a", str(deaths)), "u", part, known.setdefault(part, scores(part)))
        else:
            break
    got = [score for _, result in sorted(known.items()) for score in result.scores]
    assert {i for i, score in enumerate(got) if isinstance(score, Unscored)} == poison


def test_the_reason_of_a_poison_row_is_what_its_engine_said() -> None:
    attempts = Attempts(1)
    for process in map(str, range(3)):
        worker = Worker("a", process)
        attempts.enter(worker, "u", 1)
        attempts.begin(worker, "u", (0, 1))
        attempts.broke(worker, "RuntimeError: CUDA out of memory")
    turn = attempts.enter(Worker("a", "3"), "u", 1)
    assert turn.left == []
    assert turn.known[0, 1].scores == [
        Unscored("the worker that scored it alone died: RuntimeError: CUDA out of memory")
    ]


def test_workers_that_die_with_nothing_scored_between_end_the_run() -> None:
    attempts = Attempts(1)
    with pytest.raises(EngineError, match=f"{DEATHS + 3} workers in a row.*: RuntimeError: no kernel image"):
        for i in range(DEATHS + 3):
            worker = Worker("a", str(i))
            attempts.enter(worker, f"u{i}", 5)
            attempts.begin(worker, f"u{i}", (0, 5))
            attempts.broke(worker, "RuntimeError: no kernel image")
            attempts.enter(worker, f"u{i}", 5)
    assert i == DEATHS + 2


@pytest.mark.parametrize("size", [20, 256])
def test_an_engine_that_dies_of_every_row_ends_the_run(size: int) -> None:
    attempts, deaths = Attempts(1), 0
    with pytest.raises(EngineError):
        while True:
            worker = Worker("a", str(deaths))
            for unit in "uvw":
                for part in attempts.enter(worker, unit, size).left[:1]:
                    attempts.begin(worker, unit, part)
                    deaths += 1
                    worker = Worker("a", str(deaths))
    assert deaths <= DEATHS + 2 + 3  # two for the actor, and three whose deaths nobody has noticed yet


def test_many_poison_rows_side_by_side_do_not(size: int = 256) -> None:
    attempts, deaths, poison = Attempts(1), 0, set(range(100, 140))
    while True:
        worker = Worker("a", str(deaths))
        turn = attempts.enter(worker, "u", size)
        for part in turn.left:
            attempts.begin(worker, "u", part)
            if poison & set(range(*part)):
                deaths += 1
                break
            attempts.scored(worker, "u", part, scores(part))
        else:
            break
    got = [score for _, result in sorted(turn.known.items()) for score in result.scores]
    assert sum(isinstance(score, Unscored) for score in got) == len(poison) < deaths


def test_one_death_with_many_units_inside_counts_once() -> None:
    attempts = Attempts(1)
    for i in range(5 * DEATHS):
        attempts.enter(A1, f"u{i}", 5)
        attempts.begin(A1, f"u{i}", (0, 5))
    for i in range(5 * DEATHS):
        assert attempts.enter(A2, f"u{i}", 5).alone


def test_starts_that_fail_in_a_row_end_the_run_with_the_last_error() -> None:
    attempts = Attempts(1)
    for i in range(STARTS - 1):
        attempts.starting(Worker("a", str(i)))
        attempts.start_failed(Worker("a", str(i)), "ValueError: no room")
    attempts.starting(B1)
    with pytest.raises(EngineError, match=f"{STARTS} starts of an engine in a row failed.*: ValueError: no room"):
        attempts.start_failed(B1, "ValueError: no room")


def test_a_start_that_works_is_a_new_beginning() -> None:
    attempts = Attempts(1)
    for i in range(10 * STARTS):
        worker = Worker("a", str(i))
        attempts.starting(worker)
        if i % 2:
            attempts.start_failed(worker, "now and then")
        else:
            attempts.started(worker)


def test_starts_that_die_without_a_word_are_counted_too() -> None:
    attempts = Attempts(1)
    with pytest.raises(EngineError, match="its process was killed"):
        for i in range(STARTS + 1):
            attempts.starting(Worker("a", str(i)))
    assert i == STARTS
