"""`run.until`: when a result has to stand, as a time with its time zone, of some day or the next, or as hours from the
start."""

import re
from datetime import date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

TIME = re.compile(r"(?:(\d{4}-\d\d-\d\d) )?([01]?\d|2[0-3]):([0-5]\d) (\S+)")


def check_until(value: Any) -> str | float:
    """The value as it stands in a config. Raises ValueError where it is neither of the two."""
    if isinstance(value, int | float) and not isinstance(value, bool) and value > 0:
        return float(value)
    if isinstance(value, str) and (found := TIME.fullmatch(value)):
        try:
            ZoneInfo(found[4])
        except (KeyError, OSError, ValueError):  # no such zone, a folder of zones, an impossible name
            raise ValueError(f"no time zone is called {found[4]!r}") from None
        if found[1]:
            date.fromisoformat(found[1])  # raises ValueError for a day that does not exist
        return value
    raise ValueError('should be hours above 0, or a time of day with its time zone, such as "06:00 Europe/Berlin"')


def find_end(until: str | float, now: float) -> float:
    """When the result has to stand: for a time without a day, the next one. now, and the result: seconds since the
    epoch."""
    if isinstance(until, float):
        return now + until * 3600
    found = TIME.fullmatch(until)
    assert found
    at, zone = time(int(found[2]), int(found[3])), ZoneInfo(found[4])
    if found[1]:
        return datetime.combine(date.fromisoformat(found[1]), at, zone).timestamp()
    today = datetime.fromtimestamp(now, zone).date()
    ends = (datetime.combine(today + timedelta(days), at, zone).timestamp() for days in (0, 1))
    return next(end for end in ends if end > now)
