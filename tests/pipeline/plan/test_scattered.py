"""Queries whose rows do not stand together are named, with both places."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from pipeline.cluster.in_process import InProcess
from pipeline.errors import UsageError
from pipeline.input.footers import read_first_file
from pipeline.input.listing import list_inputs
from pipeline.plan.queries import check_queries_stand_together
from tests.pipeline.plan.test_queries import WHOLE, Make, write_groups

# ids of each file -> the ids that may be named, the places of each, and how many others are counted; None: all is well
SCATTERED: list[tuple[list[list[Any]], dict[str, list[str]] | None, int]] = [
    ([["a", "a", "b"], ["c", "c"]], None, 0),
    ([["a"]], None, 0),
    ([[None, "a", None, None, "b", None], [None]], None, 0),
    ([[None, "a"], [], [None, "a"]], {"a": ["0.parquet, row 1", "2.parquet, row 1"]}, 0),
    ([["a", "b", "b", "a"]], {"a": ["0.parquet, row 0", "0.parquet, row 3"]}, 0),
    ([["c", "a"], ["a", "b"], ["a"]], {"a": ["0.parquet, row 1", "1.parquet, row 0"]}, 0),
    ([["b"], ["x", "a", "b"], ["c"]], {"b": ["0.parquet, row 0", "1.parquet, row 2"]}, 0),
    (
        [["a", "b", "a", "b", "a"], ["c", "d"], ["d"]],
        {
            "a": ["0.parquet, row 0", "0.parquet, row 2"],
            "b": ["0.parquet, row 1", "0.parquet, row 3"],
            "d": ["1.parquet, row 1", "2.parquet, row 0"],
        },
        2,
    ),
]


def fill(rows: int) -> dict[str, pa.Array]:
    """The other columns of this number of pairs."""
    return {"query": pa.array(["x"] * rows), "doc": pa.array(["y"] * rows), "score": pa.array([1.0] * rows)}


@pytest.mark.parametrize("tasks", [1, 2, 256])
@pytest.mark.parametrize("files, named, others", SCATTERED)
def test_a_query_whose_rows_do_not_stand_together_is_named(
    files: list[list[Any]], named: dict[str, list[str]] | None, others: int, tasks: int, tmp_path: Path,
    make_config: Make,
) -> None:  # fmt: skip
    paths = [
        write_groups(tmp_path / f"{number}.parquet", {"query_id": pa.array(ids, pa.string())} | fill(len(ids)),
                     [1] * (len(ids) // 2))
        for number, ids in enumerate(files)
    ]  # fmt: skip
    config, inputs = make_config(paths, reranker=WHOLE), list_inputs(paths)
    first = read_first_file(config, inputs)
    if named is None:
        check_queries_stand_together(config, inputs, first, InProcess(), tasks)
        return
    with pytest.raises(UsageError) as raised:
        check_queries_stand_together(config, inputs, first, InProcess(), tasks)
    lines = [
        f"the rows of query {id!r} do not stand together: they begin in {tmp_path}/{first}, and again in {tmp_path}/"
        f"{second}{f', and so do those of {others} more' if others else ''}. reranker.type = 'listwise' sees all "
        for id, (first, second) in named.items()
    ]
    assert any(str(raised.value).startswith(line) for line in lines), raised.value


def test_without_an_id_the_texts_must_stand_together(tmp_path: Path, make_config: Make) -> None:
    path = write_groups(tmp_path / "a.parquet", fill(3) | {"instruction": pa.array(["i", "j", "i"])}, [])
    config, files = make_config(path, reranker=WHOLE), list_inputs([path])
    first = read_first_file(config, files)
    check_queries_stand_together(config, files, first, InProcess())
    both = first._replace(columns=first.columns | {"instruction": "instruction"})
    with pytest.raises(UsageError, match=r"begin in .*a\.parquet, row 0, and again in .*a\.parquet, row 2\."):
        check_queries_stand_together(config, files, both, InProcess())


def test_a_file_without_the_column_is_one_line(tmp_path: Path, make_config: Make) -> None:
    paths = [
        write_groups(tmp_path / f"{name}.parquet", {name: pa.array(["a"])} | fill(1), []) for name in ("query_id", "z")
    ]
    config, files = make_config(paths, reranker=WHOLE), list_inputs(paths)
    with pytest.raises(UsageError, match=r"z\.parquet: has no column 'query_id'"):
        check_queries_stand_together(config, files, read_first_file(config, files), InProcess())
