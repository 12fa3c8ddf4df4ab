"""The actors that a stream wants."""

from typing import NamedTuple


class Pool(NamedTuple):
    """smallest, largest: how many actors there are. in_flight: units that one works on at once; queued: units that
    wait behind those, so that it never waits for Ray. gpus, cpus: what Ray sets aside for each."""

    smallest: int
    largest: int
    in_flight: int
    queued: int
    gpus: float
    cpus: float
