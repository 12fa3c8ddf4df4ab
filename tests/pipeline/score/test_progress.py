"""The progress of a run: one bar on a terminal, lines in a log."""

import io
import time
from types import SimpleNamespace

import pytest

from pipeline.score.progress import Progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A clock that stands still until a test changes `clock.now`."""
    clock = SimpleNamespace(now=1000.0)
    monkeypatch.setattr("pipeline.score.progress.time", SimpleNamespace(monotonic=lambda: clock.now))
    return clock


def test_rates_and_time_left(clock: SimpleNamespace) -> None:
    progress = Progress(4000)
    clock.now += 10
    progress.add(pairs=1000, tokens=50_000, failed=3, seconds=10)
    assert progress.line() == (
        "1,000 of 4,000 pairs (25.0%) | 100 pairs/s | 5,000 tokens/s | 3 without a score | 0:00:30 left"
    )
    clock.now += 10
    progress.add(pairs=2000, tokens=100_000, failed=0, seconds=10)
    assert progress.line() == (
        "3,000 of 4,000 pairs (75.0%) | 150 pairs/s | 7,500 tokens/s | 3 without a score | 0:00:06 left"
    )


def test_starting_an_engine_does_not_count(clock: SimpleNamespace) -> None:
    progress = Progress(1000)
    clock.now += 60
    assert progress.line() == (
        "0 of 1,000 pairs (0.0%) | 0:01:00 gone: engines get a place (see ray status), start, and score the first unit"
    )
    clock.now += 5
    progress.add(pairs=100, tokens=0, failed=0, seconds=5)  # 65 s after the start, and 5 s after the engine got it
    assert "| 20 pairs/s |" in progress.line()
    assert progress.line().endswith("| 0:00:45 left")
    assert progress.waited == 60


def test_the_rate_is_of_this_run_alone(clock: SimpleNamespace) -> None:
    progress = Progress(1000, done=700)
    clock.now += 10
    progress.add(pairs=100, tokens=0, failed=0, seconds=10)
    assert progress.line() == "800 of 1,000 pairs (80.0%) | 10 pairs/s | 0 tokens/s | 0 without a score | 0:00:20 left"


def test_pairs_that_are_tried_once_more_are_done_already_and_have_a_rate(clock: SimpleNamespace) -> None:
    progress = Progress(100, done=100)
    clock.now += 60
    progress.add(pairs=5, tokens=100, failed=1, seconds=10, again=True)
    assert progress.line() == "100 of 100 pairs (100.0%) | 0 pairs/s | 10 tokens/s | 1 without a score | 0:00:00 left"
    assert progress.waited == 50 and progress.done == 100


@pytest.mark.parametrize("seconds, text", [(59, "0:00:59"), (3600 + 61, "1:01:01"), (100 * 3600, "100:00:00")])
def test_time_left_in_hours_minutes_and_seconds(clock: SimpleNamespace, seconds: int, text: str) -> None:
    progress = Progress(seconds + 1)
    clock.now += 1
    progress.add(pairs=1, tokens=0, failed=0, seconds=1)
    assert progress.line().endswith(f"| {text} left")


def test_a_log_has_a_line_every_few_seconds_and_one_at_the_end() -> None:
    log = io.StringIO()
    with Progress(10, stream=log, every=0.05) as progress:
        time.sleep(0.12)  # long enough for two lines, though no unit was done
        progress.add(pairs=10, tokens=0, failed=0, seconds=0.1)
    *during, last = log.getvalue().splitlines()
    assert len(during) >= 2
    assert all(line.startswith("0 of 10 pairs") for line in during)
    assert last.startswith("10 of 10 pairs (100.0%)")
    assert "\r" not in log.getvalue()


def test_a_terminal_has_one_line_that_is_overwritten() -> None:
    terminal = Terminal()
    with Progress(4, stream=terminal, every=0.05) as progress:
        progress.add(pairs=1, tokens=0, failed=0, seconds=0)
        time.sleep(0.12)
    assert "\r\033[K[#####...............] 1 of 4 pairs (25.0%)" in terminal.getvalue()
    assert terminal.getvalue().count("\n") == 1
    assert terminal.getvalue().endswith("left\n")


def test_the_last_line_is_written_also_when_the_run_fails() -> None:
    log = io.StringIO()
    with pytest.raises(KeyError), Progress(10, stream=log):
        raise KeyError
    assert log.getvalue().startswith("0 of 10 pairs (0.0%)")


def test_progress_goes_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress(0):
        pass
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
