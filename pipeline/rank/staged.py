"""The last step for the ranked rows of one of several stages (pipeline/config/stages.py) before they are written."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.config.stages import FIRST_STAGE, GIVEN, STAGE, Position
from pipeline.errors import make_gone_error
from pipeline.storage.folder import Folder

Finish = Callable[[int, pa.Table], pa.Table]


@dataclass(frozen=True)
class FinishRows:
    """Adds the further columns of a result with stages to the ranked rows of a bucket.

    stage: its name, which becomes a column. later: whether it is not the first stage, so that the score that it was
    given makes room for the first stage's. goes_on: whether another stage reads these rows. behind: the rests of the
    stages before, whose rows stand behind these, down to top_k.
    """

    stage: str
    later: bool
    goes_on: bool = False
    behind: tuple[tuple[str, list[str]], ...] = ()
    top_k: int | None = None

    def __call__(self, bucket: int, rows: pa.Table) -> pa.Table:
        if self.later:
            rows = _show_first_stage(rows)
        at = rows.column_names.index("reason") + 1
        rows = rows.add_column(at, STAGE, pa.repeat(pa.scalar(self.stage), len(rows)))
        if self.goes_on:
            rows = rows.add_column(at + 1, GIVEN, give_scores(rows))
        for url, names in self.behind:
            rows = pa.concat_tables([rows, read_rest(Folder(url), names[bucket]).cast(rows.schema)])
        if self.behind:
            rows = rows.sort_by([("query_id", "ascending"), ("rank", "ascending")])
        return rows.filter(pc.less_equal(rows["rank"], self.top_k)) if self.top_k else rows


def make_finish(position: Position, rest: bool = False) -> FinishRows:
    """The function that finishes the ranked rows of a stage, or those that do not go on (`rest`)."""
    name, later = position.stage.name, position.number > 0
    if rest or not position.is_last:
        return FinishRows(name, later, goes_on=not rest)
    behind = tuple((before.url, before.rest) for before in reversed(position.before))
    return FinishRows(name, later, behind=behind, top_k=position.whole.output.top_k)


def give_scores(rows: pa.Table) -> pa.ChunkedArray:
    """The score that each row gives to the next stage's fusion, float64: its own, or where it has none the lowest of
    its query, or 0 where no row of its query has one. rows: of whole queries, in the order of their ranks."""
    unranked = pc.and_(pc.equal(rows["rank"], 1), pc.is_null(rows["score"]))  # then the others of its query have none
    return pc.fill_null_forward(pc.if_else(unranked, 0.0, rows["score"]).combine_chunks())


def read_rest(folder: Folder, name: str) -> pa.Table:
    """A file of rows that did not go on. Raises RunError where it has gone."""
    try:
        return pq.read_table(pa.BufferReader(folder.read(name)), use_threads=False)
    except FileNotFoundError as error:
        raise make_gone_error(error) from None


def _show_first_stage(rows: pa.Table) -> pa.Table:
    """The rows with the carried score of the first stage in the place of the one that the stage was given."""
    given, carried = np.flatnonzero(np.array(rows.column_names) == FIRST_STAGE).tolist()
    return rows.set_column(given, FIRST_STAGE, rows.column(carried)).remove_column(carried)
