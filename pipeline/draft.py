"""A plan that is made while the run goes on: of so many files that reading every footer first would let engines wait.

draft.parquet         the files, cut into pages of some neighbours; put once
draft-000012.parquet  the plan of a page; put once, by the task that reads the page's files

Together the pages are the plan. The run that ends puts it; and so does one that finds an older run's draft, which reads
the missing footers first.
"""

import json
import random
import secrets
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple, dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.config import Config
from pipeline.inputs import InputFile
from pipeline.plan import First, Plan, Slab, first_file, plan_files, slabs_of, unit_rows
from pipeline.replan import check_same_files
from pipeline.storage import Folder
from pipeline.work import PlannedWork, together

FILES = 1000  # the footers of so many are read before a run begins
LOOKED_AT = 32  # footers of a draft that are read before, to see whether they are good and how many rows there are
SLABS = 100_000  # numbers set aside for the slabs of a page, which would be 25 TB
NAME = "draft"
AT_ONCE = 8  # pages that are read, or made, at once where the run does not go on meanwhile
LISTED = pa.schema([("path", pa.string()), ("size", pa.int64()), ("version", pa.string())])


@dataclass(frozen=True)
class Draft:
    """The pages of an input, each a task's work. As with PlannedWork, it is handed to the tasks.

    listed: the files, in their order. page_files: of each page.
    """

    columns: dict[str, str]
    id: str
    rows: int
    listed: pa.Table
    page_files: int
    first: First
    config: Config
    scores: Folder
    about: bool = True
    before: int = 0

    @property
    def later(self) -> dict[str, int]:
        return {}  # no unit has been scored

    @property
    def tasks(self) -> int:
        return -(-len(self.listed) // self.page_files)

    def slabs(self, task: int) -> Iterator[Slab]:
        page = self.page(task)
        return slabs_of(page.filter(pc.field("slab") >= 0).combine_chunks())

    def page(self, number: int) -> pa.Table:
        """A page's rows of the plan: as they were put, or else made and put now.

        Raises UsageError for a file that cannot be used, as `make_plan` does.
        """
        name = f"{NAME}-{number:06d}.parquet"
        try:
            return _table(self.scores.read(name))
        except FileNotFoundError:
            start = number * self.page_files
            rows = self.listed.slice(start, self.page_files).to_pylist()
            files = enumerate((InputFile(**row) for row in rows), start)
        made, _ = plan_files(self.config, files, unit_rows(self.config), self.first, number * SLABS)
        return made if self.scores.put_new(name, _bytes(made)) else _table(self.scores.read(name))


Work = PlannedWork | Draft  # what a run has to score


def begin_draft(config: Config, files: list[InputFile], scores: Folder) -> Draft:
    """Puts the draft of an input, unless there is one. Raises UsageError where one of LOOKED_AT files is no good."""
    first = first_file(config, files[0])
    looked_at = sorted({0, *random.sample(range(len(files)), min(LOOKED_AT, len(files)))})
    table, _ = plan_files(config, [(i, files[i]) for i in looked_at], unit_rows(config), first)
    rows = pc.sum(pc.subtract(table["stop"], table["start"])).as_py()
    share = sum(files[i].size for i in looked_at) / max(1, sum(file.size for file in files))
    listed = pa.table(list(zip(*map(astuple, files), strict=True)), schema=LISTED)
    scores.put_new(f"{NAME}.parquet", _bytes(listed, id=secrets.token_hex(8), page_files=together(len(files))))
    return read_draft(config, files, scores, int(rows / share) if share else rows)


def read_draft(config: Config, files: list[InputFile], scores: Folder, rows: int = 0) -> Draft:
    """The draft that is there, of files as they are now. rows: about how many they have.

    Raises UsageError where a file is new since it was begun, or gone. One that has changed is read as it is now, if its
    page has yet to be made.
    """
    data = scores.read(f"{NAME}.parquet")
    about = json.loads(pq.read_schema(pa.BufferReader(data)).metadata[b"draft"])
    paths, now = _table(data)["path"].to_pylist(), {file.path: file for file in files}
    check_same_files({*paths}, now.keys())
    listed = pa.table(list(zip(*(astuple(now[path]) for path in paths), strict=True)), schema=LISTED)
    first = first_file(config, now[paths[0]])
    return Draft(first.columns, about["id"], rows, listed, about["page_files"], first, config, scores)


def finished(draft: Draft) -> Plan:
    """The plan of a draft: of the pages that are there, and of those that are made now."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        pages = list(pool.map(draft.page, range(draft.tasks)))
    return Plan(pa.concat_tables(pages).combine_chunks(), draft.columns, draft.id, 0, draft.tasks * SLABS)


def _bytes(table: pa.Table, **about: Any) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(table.replace_schema_metadata({"draft": json.dumps(about)}), sink, compression="zstd")
    return sink.getvalue().to_pybytes()


def _table(data: bytes) -> pa.Table:
    return pq.read_table(pa.BufferReader(data)).replace_schema_metadata(None)
