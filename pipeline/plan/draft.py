"""A plan that is made while the run goes on: of so many files that reading every footer first would let engines wait.

draft.parquet              the files, cut into pages of some neighbours; put once
draft-<id>-000012.parquet  the plan of a page; put once, by whoever comes to it first: the task that prompts its rows,
                           or the one beside that goes through all pages

Together the pages are the plan. It is put when the last one is made, some minutes after the run began. A run that finds
an older one's draft makes the missing pages first.
"""

import json
import random
import secrets
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple, dataclass
from itertools import pairwise
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import ray

from pipeline.cluster.tasks import RETRIES, own_errors, watched_steps
from pipeline.config import Config
from pipeline.input.footers import First, first_file
from pipeline.input.listing import InputFile
from pipeline.plan.plan import Plan, Split, plan_files, splits_of, unit_rows
from pipeline.plan.replan import check_same_files
from pipeline.plan.work import PlannedWork, together
from pipeline.storage.folder import Folder

FILES = 10_000  # up to so many are planned before a run begins, and files that take longer to score than to plan
LARGE = 2**28  # bytes: one such file among them, and all are
LOOKED_AT = 32  # footers that are read before, to see whether they are good and how many rows there may be
AT_ONCE, THREADS = 4, 8  # pages that are made at once, and footers of each
SPLITS = 100_000  # numbers set aside for the splits of a page
NAME = "draft"
LISTED = pa.schema([("page", pa.int64()), ("path", pa.string()), ("size", pa.int64()), ("version", pa.string())])


@dataclass(frozen=True)
class Draft:
    """The pages of an input, each a task's work. As with PlannedWork, it is handed to the tasks.

    listed: the files, in their order, with their pages. splits_a_page: numbers set aside for each.
    """

    columns: dict[str, str]
    id: str
    rows: int
    listed: pa.Table
    splits_a_page: int
    first: First
    config: Config
    scores: Folder
    before: int = 0

    @property
    def later(self) -> dict[str, int]:
        return {}  # no unit has been scored

    @property
    def tasks(self) -> int:
        return self.listed["page"][-1].as_py() + 1

    def versions(self) -> dict[str, tuple[int, str]]:
        """Path of a file -> its size and version."""
        return {row["path"]: (row["size"], row["version"]) for row in self.listed.to_pylist()}

    def splits(self, task: int) -> Iterator[Split]:
        return splits_of(self.page(task).filter(pc.field("split") >= 0).combine_chunks())

    def page(self, number: int) -> pa.Table:
        """A page's rows of the plan: as they were put, or else made and put now.

        Raises UsageError for a file that cannot be used, as `make_plan` does.
        """
        name = f"{NAME}-{self.id}-{number:06d}.parquet"
        try:
            return _table(self.scores.read(name))
        except FileNotFoundError:
            here = pc.equal(self.listed["page"], number)
        start, rows = pc.index(here, True).as_py(), self.listed.filter(here).drop_columns("page").to_pylist()
        files = enumerate((InputFile(**row) for row in rows), start)
        first_split = number * self.splits_a_page
        made, next_split = plan_files(self.config, files, unit_rows(self.config), self.first, first_split, THREADS)
        assert next_split <= first_split + self.splits_a_page, next_split
        return made if self.scores.put_new(name, _bytes(made)) else _table(self.scores.read(name))


Work = PlannedWork | Draft  # what a run has to score


def worth_drafting(files: list[InputFile]) -> bool:
    """Whether reading all their footers first would keep the engines waiting."""
    return len(files) > FILES and max(file.size for file in files) < LARGE


def begin_draft(config: Config, files: list[InputFile], scores: Folder) -> Draft:
    """Puts the draft of an input, unless there is one. Raises UsageError where one of LOOKED_AT files is no good."""
    first = first_file(config, files[0])
    looked_at = sorted({0, *random.sample(range(len(files)), min(LOOKED_AT, len(files)))})
    table, _ = plan_files(config, [(i, files[i]) for i in looked_at], unit_rows(config), first)
    rows = pc.sum(pc.subtract(table["stop"], table["start"])).as_py()
    share = sum(files[i].size for i in looked_at) / max(1, sum(file.size for file in files))
    cuts = together([file.size for file in files])
    pages = [page for page, (start, stop) in enumerate(pairwise(cuts)) for _ in range(start, stop)]
    listed = pa.table([pages, *zip(*map(astuple, files), strict=True)], schema=LISTED)
    scores.put_new(f"{NAME}.parquet", _bytes(listed, id=secrets.token_hex(8), splits_a_page=SPLITS))
    return read_draft(config, files, scores, int(rows / share) if share else rows)


def read_draft(config: Config, files: list[InputFile], scores: Folder, rows: int = 0) -> Draft:
    """The draft that is there, of files as they are now. rows: about how many they have.

    Raises UsageError where a file is new since it was begun, or gone. One that has changed is read as it is now, if its
    page has yet to be made.
    """
    data = scores.read(f"{NAME}.parquet")
    about = json.loads(pq.read_schema(pa.BufferReader(data)).metadata[b"draft"])
    pages, paths = (_table(data)[name].to_pylist() for name in ("page", "path"))
    now = {file.path: file for file in files}
    check_same_files({*paths}, now.keys())
    listed = pa.table([pages, *zip(*(astuple(now[path]) for path in paths), strict=True)], schema=LISTED)
    first = first_file(config, now[paths[0]])
    return Draft(first.columns, about["id"], rows, listed, about["splits_a_page"], first, config, scores)


def finished(draft: Draft, each: Callable[[Iterator[pa.Table]], Iterator[pa.Table]] = iter) -> Plan:
    """The plan of a draft: of the pages that are there, and of those that are made now. each: goes through them."""
    pool = ThreadPoolExecutor(AT_ONCE)
    try:
        pages = list(each(pool.map(draft.page, range(draft.tasks))))
    finally:
        pool.shutdown(wait=False, cancel_futures=True)  # one that hangs must not hold up what another one raised
    table = pa.concat_tables(pages).combine_chunks()
    return Plan(table, draft.columns, draft.id, 0, draft.tasks * draft.splits_a_page)


class Planning:
    """Finishes a draft on the cluster, beside the scoring; it takes none of the CPUs that are Ray's to give."""

    def __init__(self, draft: Draft):
        self._task = ray.remote(num_cpus=0, max_retries=RETRIES)(finished).remote(draft, watched_steps)

    def ready(self) -> bool:
        return bool(ray.wait([self._task], timeout=0)[0])

    def plan(self) -> Plan:
        """Waits for the plan. Raises the RunError of a file that cannot be used."""
        with own_errors():
            return ray.get(self._task)


def _bytes(table: pa.Table, **about: Any) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(table.replace_schema_metadata({"draft": json.dumps(about)}), sink, compression="zstd")
    return sink.getvalue().to_pybytes()


def _table(data: bytes) -> pa.Table:
    return pq.read_table(pa.BufferReader(data)).replace_schema_metadata(None)
