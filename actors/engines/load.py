"""How busy an engine is, for the metrics."""

import time
from typing import NamedTuple


class Load(NamedTuple):
    """queued: sequences without a reply yet. busy: seconds that the engine has computed so far."""

    queued: int
    busy: float


class Busy:
    """A stopwatch: adds up the seconds spent inside its `with` blocks. Not for blocks that overlap."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __enter__(self) -> None:
        self._began = time.perf_counter()

    def __exit__(self, *error: object) -> None:
        self.seconds += time.perf_counter() - self._began
