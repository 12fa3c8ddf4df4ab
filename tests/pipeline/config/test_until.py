"""run.until: what may stand there, and the moment it means."""

from datetime import UTC, datetime
from typing import Any

import pytest

from pipeline.config.until import check_until, find_end


@pytest.mark.parametrize(
    "value", [8, 0.5, "06:00 Europe/Berlin", "6:00 UTC", "23:59 America/New_York", "2026-01-06 06:00 UTC"]
)
def test_hours_and_times_of_day(value: Any) -> None:
    assert check_until(value) == value


@pytest.mark.parametrize(
    "value, says",
    [
        (0, "should be hours above 0"),
        (-1.0, "should be hours above 0"),
        (True, "should be hours above 0"),
        (float("nan"), "should be hours above 0"),
        ([8], "should be hours above 0"),
        ("06:00", 'or a time of day with its time zone, such as "06:00 Europe/Berlin"'),
        ("24:00 UTC", "should be hours"),
        ("06:60 UTC", "should be hours"),
        ("06:00  UTC", "should be hours"),
        ("2026-02-30 06:00 UTC", "day is out of range"),
        ("06.01.2026 06:00 UTC", "should be hours"),
        ("06:00 Berlin", "no time zone is called 'Berlin'"),
        ("06:00 Europe", "no time zone is called 'Europe'"),
        ("06:00 ../../etc/passwd", "no time zone is called"),
    ],
)
def test_all_else_is_refused(value: Any, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        check_until(value)


def utc(month: int, day: int, hour: int, minute: int = 0) -> datetime:
    return datetime(2026, month, day, hour, minute, tzinfo=UTC)


@pytest.mark.parametrize(
    "until, now, end",
    [
        (8.0, utc(1, 5, 22), utc(1, 6, 6)),
        (0.25, utc(1, 5, 22), utc(1, 5, 22, 15)),
        ("06:00 UTC", utc(1, 5, 22), utc(1, 6, 6)),
        ("06:00 UTC", utc(1, 6, 5, 59), utc(1, 6, 6)),
        ("06:00 UTC", utc(1, 6, 6), utc(1, 7, 6)),  # that moment is over
        ("06:00 Europe/Berlin", utc(1, 5, 22), utc(1, 6, 5)),  # an hour ahead of UTC in winter
        ("06:00 Europe/Berlin", utc(7, 5, 22), utc(7, 6, 4)),  # two in summer
        ("06:00 Europe/Berlin", utc(3, 28, 22), utc(3, 29, 4)),  # summer begins that night: an hour less
        ("06:00 Europe/Berlin", utc(10, 24, 22), utc(10, 25, 5)),  # and ends
        ("2026-01-06 06:00 Europe/Berlin", utc(1, 5, 22), utc(1, 6, 5)),
        ("2026-01-06 06:00 Europe/Berlin", utc(1, 7, 22), utc(1, 6, 5)),  # over, and not the next day's
        ("20:00 America/New_York", utc(1, 6, 0, 30), utc(1, 6, 1)),  # it is the day before there
    ],
)
def test_the_moment_it_means(until: str | float, now: datetime, end: datetime) -> None:
    assert find_end(until, now.timestamp()) == end.timestamp()
