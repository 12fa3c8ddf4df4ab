"""How the failure tracker judges starts of engines. Workers here are `Worker(actor, process)`."""

import pytest

from actors.worker.failures import DEATHS, STARTS, EngineError, FailureTracker, Result, Worker

B1 = Worker("b", "1")


def test_a_start_that_hung_is_counted_with_its_watchdogs_report() -> None:
    tracker = FailureTracker(1)
    workers = [Worker("a", str(process)) for process in range(STARTS + 1)]
    for worker in workers[:STARTS]:
        tracker.starting(worker)
        tracker.broke(worker, "the engine made no progress for 3600 s")
    with pytest.raises(EngineError, match=rf"{STARTS} starts .* the last one: the engine made no progress for 3600 s"):
        tracker.starting(workers[STARTS])


def test_a_call_that_is_repeated_counts_once() -> None:
    tracker = FailureTracker(1)
    for number in range(STARTS):
        worker = Worker("a", str(number))
        for _ in range(2):
            tracker.starting(worker)
        if number < STARTS - 1:
            for _ in range(2):
                tracker.start_failed(worker, "no room")
    with pytest.raises(EngineError):
        tracker.start_failed(Worker("a", str(STARTS - 1)), "no room")


def test_workers_that_die_before_they_begin_anything_end_the_run() -> None:
    tracker = FailureTracker(1)
    with pytest.raises(EngineError):
        for i in range(DEATHS + 4):
            tracker.starting(Worker("a", str(i)))
            tracker.started(Worker("a", str(i)))
    assert i == DEATHS + 3


def test_one_node_that_cannot_start_an_engine_does_not_end_a_run_that_goes_on() -> None:
    tracker = FailureTracker(2)
    for i in range(5 * STARTS):
        tracker.starting(Worker("bad", str(i)))
        tracker.start_failed(Worker("bad", str(i)), "no device")
        if i % 3 == 0:
            tracker.enter(B1, f"u{i}", 5)
            tracker.begin(B1, f"u{i}", (0, 5))
            tracker.scored(B1, f"u{i}", (0, 5), Result([0.5] * 5, [None] * 5, {}))


@pytest.mark.parametrize(("actors", "most"), [(1, STARTS), (25, 7)])
def test_starts_that_fail_in_a_row_end_the_run_with_the_last_error(actors: int, most: int) -> None:
    tracker = FailureTracker(actors)
    for i in range(most - 1):
        tracker.starting(Worker("a", str(i)))
        tracker.start_failed(Worker("a", str(i)), "ValueError: no room")
    tracker.starting(B1)
    with pytest.raises(EngineError, match=f"^{most} starts of an engine in a row failed.*: ValueError: no room"):
        tracker.start_failed(B1, "ValueError: no room")


def test_a_start_that_works_resets_the_count() -> None:
    tracker = FailureTracker(1)
    for i in range(10 * STARTS):
        worker = Worker(str(i), "1")
        tracker.starting(worker)
        if i % 2:
            tracker.start_failed(worker, "now and then")
        else:
            tracker.started(worker)


def test_starts_that_die_without_a_report_are_counted_too() -> None:
    tracker = FailureTracker(1)
    with pytest.raises(EngineError, match="its process was killed"):
        for i in range(STARTS + 1):
            tracker.starting(Worker("a", str(i)))
    assert i == STARTS
