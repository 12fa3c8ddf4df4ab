"""The job itself, as benchmarks run it, and the times of its units."""

import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import psutil

from actors.worker.actor import Scorer
from pipeline.sizes import Sizes


class Unit(NamedTuple):
    """A unit of a run.

    came, put: when its actor got it, and when its scores were put, in seconds since the epoch. resident: bytes of its
    own that the actor's process had in memory then.
    """

    came: float
    put: float
    rows: int
    resident: int


def run_job(
    folder: Path,
    config: dict[str, Any],
    scorer: type = Scorer,
    output: dict[str, Any] = {},
    sizes: Sizes = Sizes(),
) -> tuple[list[Unit], dict[str, Any]]:
    """Runs a config to a new result in `folder`. Returns its units, in the order in which they were put, and the run's
    figures. output: keys of that section beside the path."""
    from pipeline.config import parse
    from pipeline.run import rerank

    run = Path(tempfile.mkdtemp(dir=folder))
    checked = parse(config | {"output": output | {"path": str(run / "out")}})
    figures = rerank(checked, timed(scorer, run / "times"), sizes=sizes)
    assert figures["unscored"] == 0, figures
    times = run / "times"  # none where no unit needed an actor
    lines = (line.split() for line in (times.read_text().splitlines() if times.exists() else []))
    units = [Unit(float(came), float(put), int(rows), int(resident)) for came, put, rows, resident in lines]
    return sorted(units, key=lambda unit: unit.put), figures


def timed(scorer: type, path: Path) -> type:
    """The class `scorer`, whose actors add a line for each unit to the file `path`."""

    class Timed(scorer):  # type: ignore[misc,valid-type]
        async def __call__(self, batch: Any) -> Any:
            came = time.time()
            row = await super().__call__(batch)
            with open(path, "a") as file:
                file.write(f"{came} {time.time()} {row['rows'][0].as_py()} {own_memory()}\n")
            return row

    return Timed


def own_memory(process: psutil.Process | None = None) -> int:
    """Bytes of a process, this one unless given, without the pages of Ray's object store that it has seen."""
    memory = (process or psutil.Process()).memory_info()
    return memory.rss - memory.shared


def find_largest_worker() -> int:
    """The most bytes of its own that a worker of this process's Ray has in memory."""
    largest = 0
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):  # it has just ended
            if process.name().startswith("ray::"):
                largest = max(largest, own_memory(process))
    return largest


def steady(units: list[Unit]) -> float:
    """Seconds for all rows at the pace of the units after the first to end."""
    return paced([(unit.put, unit.rows) for unit in units])


def paced(ends: list[tuple[float, int]]) -> float:
    """Seconds for all rows at the pace of those after the first to end. ends: of each unit or batch, and its rows."""
    (first, at_first), *_ = ends
    rows = sum(count for _, count in ends)
    if rows == at_first:
        sys.exit("all rows are in one unit or batch: give more --rows, or fewer --unit-rows")
    return (ends[-1][0] - first) * rows / (rows - at_first)
