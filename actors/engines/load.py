"""How busy an engine is, for who watches it."""

import time
from typing import NamedTuple


class Load(NamedTuple):
    """queued: sequences that were asked for and have no reply. busy: seconds that the engine has worked so far."""

    queued: int
    busy: float


class Busy:
    """Adds up the seconds spent in its `with` blocks, one after the other."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __enter__(self) -> None:
        self._began = time.perf_counter()

    def __exit__(self, *error: object) -> None:
        self.seconds += time.perf_counter() - self._began
