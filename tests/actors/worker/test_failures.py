"""How the failure tracker judges deaths. Workers here are `Worker(actor, process)`."""

import math

import pytest

from actors.rerankers.contract import Unscored
from actors.worker.failures import (
    CUT,
    DEATHS,
    ROWS_DEATHS,
    EngineError,
    FailureTracker,
    Result,
    Span,
    Turn,
    Worker,
)

A1, A2, B1 = Worker("a", "1"), Worker("a", "2"), Worker("b", "1")


def make_result(part: Span) -> Result:
    return Result([float(i) for i in range(*part)], [None] * (part[1] - part[0]), {"new_tokens": 1})


def score_with_deaths(poison: set[int], size: int) -> tuple[list[float | Unscored], int, int]:
    """Scores a unit whose worker dies over any part with a row of `poison` in it, until nothing is left to score.

    Returns the scores, the number of deaths, and the number of rows scored, each counted as often as it was scored.
    """
    tracker, deaths, scored = FailureTracker(1), 0, 0
    while True:
        worker = Worker("a", str(deaths))
        turn = tracker.enter(worker, "u", size)
        assert turn.alone == (deaths > 0)
        known = turn.known
        for part in turn.left:
            tracker.begin(worker, "u", part)
            if poison & set(range(*part)):
                deaths += 1
                break
            known[part] = make_result(part)
            scored += part[1] - part[0]
            tracker.scored(worker, "u", part, known[part])
        else:
            return [score for _, result in sorted(known.items()) for score in result.scores], deaths, scored


def test_puts_that_hang_end_the_run_at_the_third_worker() -> None:
    tracker = FailureTracker(1)
    for _ in range(2):  # a call whose answer was lost is repeated
        tracker.put_hung(A1, "the scores of unit u were not put")
    tracker.put_hung(A2, "the scores of unit u were not put")
    with pytest.raises(
        EngineError, match="3 workers waited for a put that never ended, the last one: the scores of unit v"
    ):
        tracker.put_hung(B1, "the scores of unit v were not put")


def test_a_unit_is_whole_and_not_alone_the_first_time() -> None:
    assert FailureTracker(1).enter(A1, "u", 10) == Turn(False, [(0, 10)], {})


def test_a_unit_whose_worker_died_runs_alone_the_next_time() -> None:
    tracker = FailureTracker(1)
    tracker.enter(A1, "u", 10)
    tracker.begin(A1, "u", (0, 10))
    assert tracker.enter(A2, "u", 10) == Turn(True, [(0, 10)], {})


def test_a_unit_that_only_waited_when_its_worker_died_is_not_blamed() -> None:
    tracker = FailureTracker(1)
    tracker.enter(A1, "u", 10)
    assert tracker.enter(A2, "u", 10) == Turn(False, [(0, 10)], {})


def test_a_unit_that_was_written_is_not_scored_again() -> None:
    tracker = FailureTracker(1)
    tracker.enter(A1, "u", 10)
    tracker.begin(A1, "u", (0, 10))
    tracker.end(A1, "u", "its row")
    for number in range(20):
        tracker.enter(A1, f"u{number}", 10)
        tracker.end(A1, f"u{number}", {"unit": f"u{number}", "rows": 7 * number})
    assert tracker.enter(A2, "u", 10) == Turn(False, [], {}, "its row")
    assert tracker.enter(A2, "u3", 10) == Turn(False, [], {}, {"unit": "u3", "rows": 21})


def test_a_worker_that_is_slower_over_the_same_unit_changes_nothing() -> None:
    tracker = FailureTracker(2)
    for worker in (A1, A2):
        tracker.enter(worker, "u", 10)
        tracker.begin(worker, "u", (0, 10))
    tracker.end(A1, "u", "its row")
    tracker.begin(A2, "u", (0, 10))
    tracker.scored(A2, "u", (0, 10), Result([0.5] * 10, [None] * 10, {}))
    assert tracker.enter(A2, "u", 10) == Turn(False, [], {}, "its row")


@pytest.mark.parametrize("size", [1, 2, 17, 256, 8192])
@pytest.mark.parametrize("where", [0.0, 0.5, 1.0])
def test_a_poison_row_is_found(size: int, where: float) -> None:
    """The row that kills its workers is found, and every other row is scored once it is in another part."""
    poison = int(where * (size - 1))
    got, deaths, scored = score_with_deaths({poison}, size)
    assert [i for i, score in enumerate(got) if isinstance(score, Unscored)] == [poison]
    assert [score for score in got if not isinstance(score, Unscored)] == [i for i in range(size) if i != poison]
    assert scored == size - 1  # nothing was scored twice
    assert deaths <= 3 + math.ceil(math.log(size, CUT)) + 1  # whole, in parts of each size, and twice over the row


def test_two_poison_rows_are_both_found() -> None:
    poison = {3, 200}
    got, _, _ = score_with_deaths(poison, 256)
    assert {i for i, score in enumerate(got) if isinstance(score, Unscored)} == poison


def test_the_reason_of_a_poison_row_is_its_engines_error() -> None:
    tracker = FailureTracker(1)
    for process in map(str, range(4)):
        worker = Worker("a", process)
        tracker.enter(worker, "u", 1)
        tracker.begin(worker, "u", (0, 1))
        tracker.broke(worker, "RuntimeError: CUDA out of memory")
    turn = tracker.enter(Worker("a", "4"), "u", 1)
    assert turn.left == []
    assert turn.known[0, 1].scores == [
        Unscored("the worker that scored it alone died: RuntimeError: CUDA out of memory", transient=True)
    ]


def test_workers_that_die_with_nothing_scored_between_end_the_run() -> None:
    tracker = FailureTracker(1)
    with pytest.raises(EngineError, match=f"{DEATHS + 3} workers in a row.*: RuntimeError: no kernel image"):
        for i in range(DEATHS + 3):
            worker = Worker("a", str(i))
            tracker.enter(worker, f"u{i}", 5)
            tracker.begin(worker, f"u{i}", (0, 5))
            tracker.broke(worker, "RuntimeError: no kernel image")
            tracker.enter(Worker("a", f"after {i}"), f"u{i}", 5)
    assert i == DEATHS + 2


@pytest.mark.parametrize("size", [20, 256])
def test_an_engine_that_dies_over_every_row_ends_the_run(size: int) -> None:
    tracker, deaths = FailureTracker(1), 0
    with pytest.raises(EngineError):
        while True:
            worker = Worker("a", str(deaths))
            for unit in "uvw":
                for part in tracker.enter(worker, unit, size).left[:1]:
                    tracker.begin(worker, unit, part)
                    deaths += 1
                    worker = Worker("a", str(deaths))
    assert deaths <= DEATHS + 2 + 3  # two for the actor, and three that are not counted yet


def test_many_poison_rows_side_by_side_do_not_end_the_run() -> None:
    poison = set(range(100, 140))
    got, deaths, _ = score_with_deaths(poison, 256)
    assert sum(isinstance(score, Unscored) for score in got) == len(poison) < deaths


def test_a_row_that_one_worker_died_over_is_tried_again() -> None:
    tracker = FailureTracker(1)
    for process in map(str, range(3)):
        tracker.enter(Worker("a", process), "u", 1)
        tracker.begin(Worker("a", process), "u", (0, 1))
    assert tracker.enter(Worker("a", "3"), "u", 1) == Turn(True, [(0, 1)], {})


def test_a_unit_that_was_scored_when_its_worker_died_is_written_and_not_scored_again() -> None:
    tracker = FailureTracker(1)
    tracker.enter(A1, "u", 10)
    tracker.begin(A1, "u", (0, 10))
    tracker.scored(A1, "u", (0, 10), make_result((0, 10)))
    assert tracker.enter(A2, "u", 10) == Turn(False, [], {(0, 10): make_result((0, 10))})


def test_a_task_that_ray_sends_twice_to_a_living_worker_is_no_death() -> None:
    tracker = FailureTracker(1)
    for _ in range(2):
        assert tracker.enter(A1, "u", 10) == Turn(False, [(0, 10)], {})
        tracker.begin(A1, "u", (0, 10))
    for _ in range(2):
        tracker.scored(A1, "u", (0, 10), make_result((0, 10)))
        tracker.end(A1, "u", "row")


def test_a_machine_on_which_everything_dies_ends_the_run_though_rows_were_suspected() -> None:
    tracker, deaths = FailureTracker(1), 3
    for process in map(str, range(3)):
        tracker.enter(Worker("a", process), "u", 8192)
        tracker.begin(Worker("a", process), "u", (0, 8192))
    first = tracker.enter(Worker("a", "3"), "u", 8192).left[0]
    tracker.begin(Worker("a", "3"), "u", first)
    tracker.scored(Worker("a", "3"), "u", first, make_result(first))
    with pytest.raises(EngineError):
        while True:
            deaths += 1
            tracker.begin(Worker("b", str(deaths)), "u", tracker.enter(Worker("b", str(deaths)), "u", 8192).left[0])
    assert ROWS_DEATHS < deaths < 2 * ROWS_DEATHS


def test_one_death_with_many_units_inside_counts_once() -> None:
    tracker = FailureTracker(1)
    for i in range(5 * DEATHS):
        tracker.enter(A1, f"u{i}", 5)
        tracker.begin(A1, f"u{i}", (0, 5))
    for i in range(5 * DEATHS):
        assert tracker.enter(A2, f"u{i}", 5).alone


def test_rows_that_killed_their_workers_before_do_not_end_a_run_that_tries_them_again() -> None:
    """Eight units of one poison row each, and one actor: nothing is ever scored, and every row gets its reason."""
    tracker, process = FailureTracker(1), 0
    for name in map(str, range(8)):
        while True:
            worker = Worker("a", str(process))
            turn = tracker.enter(worker, name, 1, again=True)
            if not turn.left:
                break
            tracker.begin(worker, name, turn.left[0])
            process += 1
    assert process > DEATHS + 2


def test_a_worker_that_died_over_rows_is_not_one_that_died_before_it_began() -> None:
    """With one actor 10 may die in a row that began nothing; over a unit of which a part was scored, 74."""
    tracker = FailureTracker(1)
    for process in range(40):
        worker = Worker("a", str(process))
        tracker.starting(worker)
        tracker.started(worker)
        turn = tracker.enter(worker, "u", 1000)
        tracker.begin(worker, "u", turn.left[0])
        if process == 5:  # by then the unit is cut into parts
            tracker.scored(worker, "u", turn.left[0], make_result(turn.left[0]))
            tracker.begin(worker, "u", turn.left[1])
