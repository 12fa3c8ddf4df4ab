"""How many rows have no score, while a run goes on. Rows that are equal in every column used count once."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.errors import make_gone_error
from pipeline.rows import DELETED, OK, REJECT
from pipeline.score.write import UnitStats
from pipeline.storage.folder import Folder

THREADS = 32
SAMPLE = 1_000_000  # rows, about, that are compared with each other; of more than these a share is
KEY = ["query_id", "doc_id", "texts", "first_stage_score"]


class FailedRows:
    """The rows of a run's units that have no score. scores: the folder of the units' score files."""

    def __init__(self, scores: Folder):
        self._scores, self._files = scores, list[str]()
        self._rows = self._repeats = 0

    @property
    def rows(self) -> int:
        """How many there are, without the repeats that were found so far."""
        return self._rows - self._repeats

    def add(self, unit: UnitStats) -> None:
        if unit.failed + unit.rejected:
            self._rows += unit.failed + unit.rejected
            self._files.append(unit.file)

    def exceed(self, allowed: float) -> bool:
        """Whether there are more than `allowed`, without repeats. Their score files are read only where it seems so."""
        if self.rows > allowed:
            self._repeats = count_repeats(self._scores, self._files)
        return self.rows > allowed


def count_repeats(scores: Folder, names: Sequence[str], sample: int = SAMPLE) -> int:
    """How many rows without a score are equal to another one, in score files of these names; about, if there are more
    than `sample`. A row that cannot be used at all (REJECT) is never a repeat."""
    with ThreadPoolExecutor(THREADS) as pool:
        rows = pa.concat_tables(pool.map(lambda name: _read_failed(scores, name), names))
    share = 1 + len(rows) // sample
    if share > 1:  # equal rows have equal texts: so all of them are in it, or none
        hashes = np.frombuffer(b"".join(rows["texts"].to_pylist()), np.uint32)[::4]
        rows = rows.filter(pa.array(hashes % share == 0))
    return share * (len(rows) - len(rows.group_by(KEY).aggregate([])))


def _read_failed(scores: Folder, name: str) -> pa.Table:
    try:
        file = scores.read(name)
    except FileNotFoundError:
        raise make_gone_error(f"{scores.url}/{name}") from None
    rows = pq.read_table(pa.BufferReader(file), columns=[*KEY, "kind"], use_threads=False)
    return rows.filter(pc.invert(pc.is_in(rows["kind"], pa.array([OK, REJECT, DELETED])))).select(KEY)
