"""A plan that is made while the run goes on, for inputs of very many files: reading every footer first takes minutes.

draft.parquet              the files, cut into pages of neighbouring files; put once
draft-<id>-000012.parquet  the plan of a page; put once, by the first task that needs it: either the one that prompts
                           its rows, or the one that makes all pages

Together the pages are the plan. It is put when the last page is made, some minutes after the run began. A run that
finds the draft of an earlier run makes the missing pages first.
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

from pipeline.config import Config
from pipeline.input.footers import FirstFile, read_first_file
from pipeline.input.listing import InputFile
from pipeline.plan.plan import Plan, Split, plan_files, splits_of, unit_rows
from pipeline.plan.replan import check_same_files
from pipeline.plan.work import PlannedWork, group_neighbours
from pipeline.sizes import Sizes
from pipeline.storage.folder import Folder

PAGES_AT_ONCE, FOOTERS_AT_ONCE = 4, 8  # the second: for each page
SPLITS = 100_000  # numbers reserved for the splits of a page
NAME = "draft"
LISTED = pa.schema([("page", pa.int64()), ("path", pa.string()), ("size", pa.int64()), ("version", pa.string())])


@dataclass(frozen=True)
class Draft:
    """The pages of an input, each the work of one task. It is passed to the tasks, as PlannedWork is.

    rows: about how many the input has. listed: the files, in their order, with their pages. splits_a_page: split
    numbers reserved for each page.
    """

    columns: dict[str, str]
    id: str
    rows: int
    listed: pa.Table
    splits_a_page: int
    first: FirstFile
    config: Config
    scores: Folder
    split_bytes: int
    before: int = 0

    @property
    def later(self) -> dict[str, int]:
        return {}  # no unit has been scored

    @property
    def tasks(self) -> int:
        """How many there are."""
        return self.listed["page"][-1].as_py() + 1

    def versions(self) -> dict[str, tuple[int, str]]:
        """Path of a file -> its size and version."""
        return {row["path"]: (row["size"], row["version"]) for row in self.listed.to_pylist()}

    def splits(self, task: int) -> Iterator[Split]:
        """The splits of a task's page."""
        return splits_of(self.page(task).filter(pc.field("split") >= 0).combine_chunks())

    def page(self, number: int) -> pa.Table:
        """The plan's rows for a page: those already put, or else made and put now.

        Raises UsageError for a file that cannot be used, as `make_plan` does.
        """
        name = f"{NAME}-{self.id}-{number:06d}.parquet"
        try:
            return _decode(self.scores.read(name))
        except FileNotFoundError:
            in_page = pc.equal(self.listed["page"], number)
        start, rows = pc.index(in_page, True).as_py(), self.listed.filter(in_page).drop_columns("page").to_pylist()
        files = enumerate((InputFile(**row) for row in rows), start)
        first_split = number * self.splits_a_page
        made, next_split = plan_files(
            self.config, files, unit_rows(self.config), self.first, first_split, FOOTERS_AT_ONCE, self.split_bytes
        )
        assert next_split <= first_split + self.splits_a_page, next_split
        return made if self.scores.put_new(name, _encode(made)) else _decode(self.scores.read(name))


Work = PlannedWork | Draft  # the units that a run has to score


def is_worth_drafting(files: list[InputFile], sizes: Sizes) -> bool:
    """Whether reading all their footers first would keep the engines waiting."""
    return len(files) > sizes.drafted_files and max(file.size for file in files) < sizes.large_file


def begin_draft(config: Config, files: list[InputFile], scores: Folder, sizes: Sizes) -> Draft:
    """Puts the draft of an input, unless there is one. Raises UsageError where a sampled file cannot be used."""
    first = read_first_file(config, files[0])
    sampled = sorted({0, *random.sample(range(len(files)), min(sizes.sampled_footers, len(files)))})
    table, _ = plan_files(
        config, [(i, files[i]) for i in sampled], unit_rows(config), first, split_bytes=sizes.split_bytes
    )
    rows = pc.sum(pc.subtract(table["stop"], table["start"])).as_py()
    share = sum(files[i].size for i in sampled) / max(1, sum(file.size for file in files))
    cuts = group_neighbours([file.size for file in files], sizes)
    pages = [page for page, (start, stop) in enumerate(pairwise(cuts)) for _ in range(start, stop)]
    listed = pa.table([pages, *zip(*map(astuple, files), strict=True)], schema=LISTED)
    scores.put_new(f"{NAME}.parquet", _encode(listed, id=secrets.token_hex(8), slabs_a_page=SPLITS))
    return read_draft(config, files, scores, sizes, int(rows / share) if share else rows)


def read_draft(config: Config, files: list[InputFile], scores: Folder, sizes: Sizes, rows: int = 0) -> Draft:
    """The draft that was put, for the files as they are now. rows: about how many they have.

    Raises UsageError where a file is new since the draft was put, or gone. A file that has changed is read as it is
    now, unless its page was made before.
    """
    data = scores.read(f"{NAME}.parquet")
    about = json.loads(pq.read_schema(pa.BufferReader(data)).metadata[b"draft"])
    pages, paths = (_decode(data)[name].to_pylist() for name in ("page", "path"))
    now = {file.path: file for file in files}
    check_same_files({*paths}, now.keys())
    listed = pa.table([pages, *zip(*(astuple(now[path]) for path in paths), strict=True)], schema=LISTED)
    first = read_first_file(config, now[paths[0]])
    return Draft(
        first.columns, about["id"], rows, listed, about["slabs_a_page"], first, config, scores, sizes.split_bytes
    )


def finish_draft(draft: Draft, each: Callable[[Iterator[pa.Table]], Iterator[pa.Table]] = iter) -> Plan:
    """The plan of a draft. Pages that were not put yet are made and put.

    each: goes through the pages; a task of Ray watches each one.
    """
    pool = ThreadPoolExecutor(PAGES_AT_ONCE)
    try:
        pages = list(each(pool.map(draft.page, range(draft.tasks))))
    finally:
        pool.shutdown(wait=False, cancel_futures=True)  # a hanging read must not delay the error of another page
    table = pa.concat_tables(pages).combine_chunks()
    return Plan(table, draft.columns, draft.id, 0, draft.tasks * draft.splits_a_page)


def _encode(table: pa.Table, **about: Any) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(table.replace_schema_metadata({"draft": json.dumps(about)}), sink, compression="zstd")
    return sink.getvalue().to_pybytes()


def _decode(data: bytes) -> pa.Table:
    return pq.read_table(pa.BufferReader(data)).replace_schema_metadata(None)
