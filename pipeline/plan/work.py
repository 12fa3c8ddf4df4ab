"""The rows that a run has to score, cut into the tasks that read them.

A task reads parts of files. A part is a range of a file's bytes, and has the row groups whose middle lies in it. So no
footer is needed to cut an input into tasks: each task reads those of its own files.
"""

import pickle
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from pipeline.config import Config
from pipeline.input.footers import FirstFile
from pipeline.input.listing import InputFile
from pipeline.input.shown import Shown, TableColumn
from pipeline.plan.units import Coverage, hash_version
from pipeline.sizes import Sizes

SCHEMA = pa.schema(
    [
        ("file", pa.int32()),  # its number: its place in the listing
        ("path", pa.string()),
        ("size", pa.int64()),
        ("version", pa.string()),
        ("begin", pa.int64()),  # bytes of the file
        ("end", pa.int64()),
        ("missing", pa.list_(pa.int64())),  # first, stop, first, stop, ...; null where no score file says what there is
        ("shown", pa.binary()),  # what its table says of the file, pickled without the columns of the table
        ("failed", pa.list_(pa.string())),  # score files of rows that may be scored once more
    ]
)


class FilePart(NamedTuple):
    """A range of a file's bytes. number: of the file in the input. missing: the rows of the whole file that have no
    scores; None for all of them. failed: score files of rows that are to be scored once more, where they failed for a
    reason that may pass."""

    number: int
    file: InputFile
    begin: int
    end: int
    missing: list[range] | None
    failed: list[str]


@dataclass(frozen=True)
class Work:
    """The parts of files that have rows to score. It is passed to the tasks, and each reads its own parts.

    first: the first file of the input, with which all others must agree. parts: a row for each, of SCHEMA. bounds: the
    index of the first part of each task, and at the end their number. columns: of the table that the files are of.
    """

    config: Config
    first: FirstFile
    parts: pa.Table
    bounds: np.ndarray
    columns: tuple[TableColumn, ...] | None = None

    @property
    def tasks(self) -> int:
        """How many there are."""
        return len(self.bounds) - 1

    @property
    def stored_bytes(self) -> int:
        """Bytes of all parts, as they are stored."""
        return int(np.subtract(self.parts["end"].to_numpy(), self.parts["begin"].to_numpy()).sum())

    def read_parts(self, task: int) -> Iterator[FilePart]:
        """The parts of a task."""
        start, stop = self.bounds[task : task + 2].tolist()
        for row in self.parts.slice(start, stop - start).to_pylist():
            missing = row["missing"]
            yield FilePart(
                number=row["file"],
                file=InputFile(row["path"], row["size"], row["version"], self._read_shown(row["shown"])),
                begin=row["begin"],
                end=row["end"],
                missing=None
                if missing is None
                else [range(*pair) for pair in zip(missing[::2], missing[1::2], strict=True)],
                failed=row["failed"],
            )

    def _read_shown(self, pickled: bytes | None) -> Shown | None:
        return None if pickled is None else replace(pickle.loads(pickled), columns=self.columns)


def select_work(
    config: Config,
    first: FirstFile,
    files: list[InputFile],
    coverage: Coverage,
    sizes: Sizes = Sizes(),
    retry_failed: bool = False,
    is_failed: Callable[[InputFile, list[str]], bool] = lambda file, names: True,
) -> Work:
    """The work for an input, given which rows have scores. retry_failed: it has the rows, too, that have no score for a
    reason that may pass. is_failed: whether a file of a table has such rows in these score files, and not only some
    that are deleted still."""
    rows: list[dict[str, Any]] = []
    for number, file in enumerate(files):
        version = hash_version(file)
        known = coverage.count_rows(version)
        failed = [found.name for found in coverage.find_failed(version)] if retry_failed else []
        if failed and file.shown and file.shown.of_table and not is_failed(file, failed):
            failed = []
        if coverage.is_complete(version) and not failed:
            continue
        missing = None if known is None else coverage.find_missing(version, 0, known)
        about = {"file": number, "path": file.path, "size": file.size, "version": file.version}
        about["shown"] = file.shown and pickle.dumps(replace(file.shown, columns=None))
        about["missing"] = None if missing is None else [row for rows in missing for row in (rows.start, rows.stop)]
        parts = max(1, -(-file.size // sizes.part_bytes))
        cuts = [file.size * part // parts for part in range(parts + 1)]
        rows += [about | {"begin": begin, "end": end, "failed": failed} for begin, end in pairwise(cuts)]
    table = pa.Table.from_pylist(rows, SCHEMA)
    bytes_of = np.subtract(table["end"].to_numpy(), table["begin"].to_numpy()).tolist()
    columns = next((file.shown.columns for file in files if file.shown), None)
    return Work(config, first, table, np.array(group_neighbours(bytes_of, sizes)), columns)


def group_neighbours(pieces: Sequence[int], sizes: Sizes) -> list[int]:
    """The index of the first piece of each task, and at the end the number of pieces. pieces: their bytes."""
    most = -(-len(pieces) // sizes.tasks)
    cuts, in_task = [0], 0
    for i, size in enumerate(pieces):
        if i > cuts[-1] and (i - cuts[-1] == most or in_task + size > sizes.task_bytes):
            cuts.append(i)
            in_task = 0
        in_task += size
    return [*cuts, len(pieces)] if pieces else cuts
