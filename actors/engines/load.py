"""How busy an engine is, for the metrics."""

import time
from typing import NamedTuple


class Scheduling(NamedTuple):
    """The state of the sequences that an engine has taken.

    running, waiting: sequences that are computed, and that wait until there is room for them. cache_share: how much of
    the key-value cache is in use, from 0 to 1. preemptions: how often, so far, a running sequence lost its room in the
    cache to others, to be computed again.
    """

    running: int
    waiting: int
    cache_share: float
    preemptions: int


class Load(NamedTuple):
    """queued: sequences without a reply yet. busy: seconds that the engine has computed so far. scheduling: None where
    the engine keeps no such figures."""

    queued: int
    busy: float
    scheduling: Scheduling | None = None


class Busy:
    """A stopwatch: adds up the seconds spent inside its `with` blocks. Not for blocks that overlap."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __enter__(self) -> None:
        self._began = time.perf_counter()

    def __exit__(self, *error: object) -> None:
        self.seconds += time.perf_counter() - self._began
