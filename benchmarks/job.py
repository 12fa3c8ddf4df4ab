"""The job itself, as benchmarks run it, and the times of its units."""

import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import psutil

from actors.worker.actor import Scorer


class Unit(NamedTuple):
    """When a unit came to its actor and when its scores were put, in seconds since the epoch; its rows; and how many
    bytes of its own the actor's process had in memory then."""

    came: float
    put: float
    rows: int
    resident: int


def run_job(
    folder: Path, config: dict[str, Any], scorer: type = Scorer, output: dict[str, Any] = {}
) -> tuple[list[Unit], dict[str, Any]]:
    """Runs a config to a result of its own in `folder`. Returns its units, in the order of their ends, and the run's
    figures. output: keys of that section beside the path."""
    from pipeline.config import parse
    from pipeline.run import rerank

    run = Path(tempfile.mkdtemp(dir=folder))
    figures = rerank(parse(config | {"output": output | {"path": str(run / "out")}}), timed(scorer, run / "times"))
    assert figures["unscored"] == 0, figures
    lines = (line.split() for line in (run / "times").read_text().splitlines())
    units = [Unit(float(came), float(put), int(rows), int(resident)) for came, put, rows, resident in lines]
    return sorted(units, key=lambda unit: unit.put), figures


def timed(scorer: type, path: Path) -> type:
    """The class `scorer`, whose actors add a line for each unit to the file `path`."""

    class Timed(scorer):  # type: ignore[misc,valid-type]
        async def __call__(self, batch: Any) -> Any:
            came = time.time()
            line = await super().__call__(batch)
            with open(path, "a") as file:
                file.write(f"{came} {time.time()} {line['rows'][0].as_py()} {own_memory()}\n")
            return line

    return Timed


def own_memory() -> int:
    """Bytes of this process, without the pages of Ray's object store that it has seen."""
    memory = psutil.Process().memory_info()
    return memory.rss - memory.shared


def steady(units: list[Unit]) -> float:
    """Seconds for all rows at the pace of the units after the first to end."""
    return paced([(unit.put, unit.rows) for unit in units])


def paced(ends: list[tuple[float, int]]) -> float:
    """Seconds for all rows at the pace of those after the first to end. ends: of each unit or batch, and its rows."""
    (first, at_first), *_ = ends
    rows = sum(count for _, count in ends)
    return (ends[-1][0] - first) * rows / (rows - at_first)
