"""How much of a large input a dry run looks into."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Sizes:
    """files: whose footers are read; of more, that many are drawn at random. units: that are read. rows: that are made
    into prompts, of all these units together. known_rows: of earlier runs, whose texts are looked up; 50 bytes each
    in memory. readers: units in memory at once; most of the time a store is waited for."""

    files: int = 1000
    units: int = 32
    rows: int = 4096
    known_rows: int = 20_000_000
    readers: int = 4
