"""Ids that are floats are taken where they are exact, and refused, by their row, where they are not."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.config import Config
from pipeline.errors import UsageError
from pipeline.input.footers import count_rows, read_file_footer, read_first_file
from pipeline.input.listing import list_inputs
from pipeline.score.read import read_units
from tests.pipeline.plan.cut import cut_input

Make = Callable[..., Config]
INF, NAN = float("inf"), float("nan")
# The ids of five rows, their type, and the row whose id is not exact; and whether statistics show it.
CASES: list[tuple[list[Any], Any, int | None, bool]] = [
    ([1.0, 2.0**53 - 1, -(2.0**53) + 1, 1.5, None], pa.float64(), None, True),
    ([1.0, 2.0**24 - 1, 0.25, -3.0, None], pa.float32(), None, True),
    ([1.0, 2.0**11 - 1, 0.25, -3.0, None], pa.float16(), None, True),
    ([2**53 + 1, -(2**62), 1, 2, None], pa.int64(), None, True),
    ([1.0, 2.0, 3.0, 2.0**53, None], pa.float64(), 3, True),
    ([1.0, -(2.0**60), 3.0, 2.0**53, None], pa.float64(), 1, True),
    ([1.0, 2.0, None, 2.0**24, 5.0], pa.float32(), 3, True),
    ([1.0, 2.0, None, 5.0, INF], pa.float64(), 4, True),
    ([2.0**11, 2.0, None, 4.0, 5.0], pa.float16(), 0, False),
    ([1.0, 2.0, None, NAN, 5.0], pa.float64(), 3, False),
    ([1.0, 2.0, None, 5.0, -(2.0**24)], pa.float32(), 4, True),
]


@pytest.mark.parametrize("name", ["query_id", "doc_id"])
@pytest.mark.parametrize(("ids", "kind", "row", "shown"), CASES)
def test_ids_that_are_not_exact_are_refused(
    ids: list[Any], kind: Any, row: int | None, shown: bool, name: str, write_pairs: Callable, make_config: Make
) -> None:
    column = pa.array([None if x is None else np.float16(x) if kind == pa.float16() else x for x in ids], kind)
    texts = ["text"] * 5
    path = write_pairs(row_group_size=2, **{name: column}, query=texts, doc=texts, score=[1.0] * 5)
    config, files = make_config(path), list_inputs([path])
    read_file_footer.cache_clear()

    def read(before: bool) -> list[str]:
        """Only the footers, or all rows."""
        if before:
            return [str(count_rows(config, files, read_first_file(config, files)))]
        splits, first = cut_input(config)
        return [id for split in splits for _, unit in read_units(split, first.columns) for id in unit[name].to_pylist()]

    if row is None:
        plain = pq.read_table(path)[name]
        assert read(before=False) == [None if id is None else str(id) for id in plain.cast(pa.string()).to_pylist()]
        return
    with pytest.raises(UsageError) as error:
        read(before=shown)
    value = column[row].as_py()
    assert str(error.value).startswith(
        f"{path}: row {row}: column {name!r} (input.columns.{name}) is {kind}, and has {value!r}: "
    )
    if not shown:
        assert read(before=True) == ["[5]"]
