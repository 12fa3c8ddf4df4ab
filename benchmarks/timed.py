"""A scorer that writes down when each unit came and when its scores were put."""

import time
from pathlib import Path
from typing import Any, NamedTuple


class Time(NamedTuple):
    """Of one unit, in seconds since the epoch."""

    came: float
    put: float
    rows: int


def timed(scorer: type, path: Path) -> type:
    """The class `scorer`, whose actors add their units' times to the file `path`."""

    class Timed(scorer):  # type: ignore[misc,valid-type]
        async def __call__(self, batch: Any) -> Any:
            came = time.time()
            line = await super().__call__(batch)
            with open(path, "a") as file:
                file.write(f"{came} {time.time()} {line['rows'][0].as_py()}\n")
            return line

    return Timed


def times(path: Path) -> list[Time]:
    """What was written down."""
    lines = (line.split() for line in path.read_text().splitlines())
    return [Time(float(came), float(put), int(rows)) for came, put, rows in lines]
