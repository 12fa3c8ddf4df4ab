"""pipeline/input/hive.py: columns in the names of folders."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from pipeline.config import Config
from pipeline.errors import UsageError
from pipeline.input.hive import add_folder_columns
from pipeline.input.listing import InputFile
from tests.pipeline.conftest import Run, in_order, pairs

Make = Callable[..., Config]
ANY = {"max_failed": 1}

# The folders of two files, the columns that are carried, and what comes of it.
FOLDERS: dict[str, tuple[list[str], list[str], list[Any]]] = {
    "one": (["dt=2026-01-05", "dt=2026-01-06"], ["dt"], [{"dt": "2026-01-05"}, {"dt": "2026-01-06"}]),
    "two": (["a=1/b=x", "a=1/b=y"], ["b", "a"], [{"a": "1", "b": "x"}, {"a": "1", "b": "y"}]),
    "one that is not named": (["a=1/b=x", "a=1/b=y"], ["b"], [{"b": "x"}, {"b": "y"}]),
    "quoted": (["a=x%20y%2Fz%3D", "a=%C3%BC"], ["a"], [{"a": "x y/z="}, {"a": "ü"}]),
    "null": (["a=__HIVE_DEFAULT_PARTITION__", "a="], ["a"], [{"a": None}, {"a": ""}]),
    "the inner one counts": (["a=1/a=2", "a=3/a=4"], ["a"], [{"a": "2"}, {"a": "4"}]),
    "not in every path": (["a=1", "b=1"], ["a"], [None, None]),
    "the name of a file": (["", ""], ["a"], [None, None]),
    "none": (["dt", "=x"], ["dt"], [None, None]),
}


@pytest.mark.parametrize("folders, carried, expected", FOLDERS.values(), ids=FOLDERS)
def test_columns_of_paths(folders: list[str], carried: list[str], expected: list[Any], make_config: Make) -> None:
    config = make_config("/data", output={"columns": carried})
    files = [InputFile(f"/data/{folder}/a=9.parquet", 1, "") for folder in folders]
    found = [file.shown and file.shown.constants for file in add_folder_columns(config, files)]
    assert found == expected


def write(folder: Path, rows: pa.Table, column: str, keep: bool = False) -> None:
    """Rows as files in a folder for each value of a column, which goes from the files unless they keep it."""
    for value in rows[column].unique().to_pylist():
        place = folder / f"{column}={value}"
        place.mkdir(parents=True)
        own = rows.filter(pc.equal(rows[column], value))
        pq.write_table(own if keep else own.drop_columns([column]), place / "part-0.parquet")


def run_plain(rows: pa.Table, tmp_path: Path, run: Run, **sections: Any) -> pa.Table:
    (tmp_path / "plain").mkdir()
    pq.write_table(rows, tmp_path / "plain" / "a.parquet")
    run(str(tmp_path / "plain"), "plain-out", run=ANY, **sections)
    return in_order(tmp_path / "plain-out")


@pytest.mark.parametrize("keep", [False, True], ids=["in the folders alone", "in the files, too"])
def test_a_column_of_folders_is_carried(keep: bool, tmp_path: Path, run: Run) -> None:
    rows = pairs(100).append_column("dt", pa.array([f"2026-01-0{i % 3 + 1}" for i in range(100)]))
    write(tmp_path / "in", rows, "dt", keep)
    more = {"output": {"columns": ["dt", "doc"]}}
    assert run(str(tmp_path / "in"), run=ANY, **more)["rows"] == 100
    assert in_order(tmp_path / "out").equals(run_plain(rows, tmp_path, run, **more))


def test_the_id_of_queries_may_be_a_folder(tmp_path: Path, run: Run) -> None:
    rows = pairs(100)
    write(tmp_path / "in", rows, "query_id")
    run(str(tmp_path / "in"), run=ANY)
    assert in_order(tmp_path / "out").equals(run_plain(rows, tmp_path, run))


def test_a_text_may_be_a_folder_under_another_name(tmp_path: Path, run: Run) -> None:
    rows = pairs(100)
    write(tmp_path / "in", rows.rename_columns(["query_id", "q", "doc_id", "doc", "score"]), "q")
    run(str(tmp_path / "in"), run=ANY, input={"columns": {"query": "q"}})
    assert in_order(tmp_path / "out").equals(run_plain(rows, tmp_path, run))


def test_the_value_in_the_file_counts(tmp_path: Path, run: Run) -> None:
    (tmp_path / "in" / "dt=5").mkdir(parents=True)
    rows = pairs(10).append_column("dt", pa.array(range(10)))
    pq.write_table(rows, tmp_path / "in" / "dt=5" / "a.parquet")
    run(str(tmp_path / "in"), run=ANY, output={"columns": ["dt"]})
    assert sorted(in_order(tmp_path / "out")["dt"].to_pylist()) == [*range(10)]


def test_files_of_which_some_lie_in_no_such_folder_end_the_job(tmp_path: Path, run: Run) -> None:
    rows = pairs(20).append_column("dt", pa.array(["1"] * 20))
    write(tmp_path / "in", rows, "dt")
    pq.write_table(rows.drop_columns(["dt"]), tmp_path / "in" / "a.parquet")
    with pytest.raises(UsageError, match=r"output\.columns: .*a\.parquet has no column 'dt'"):
        run(str(tmp_path / "in"), run=ANY, output={"columns": ["dt"]})
    assert run(str(tmp_path / "in"), run=ANY)["rows"] == 40, "the names of folders do not matter where no one asks"


def test_a_file_that_comes_outside_of_such_folders_ends_the_job_too(tmp_path: Path, run: Run) -> None:
    """Though the rows of the others have scores, under the ids that their folders gave them."""
    rows = pairs(20)
    write(tmp_path / "in", rows, "query_id")
    assert run(str(tmp_path / "in"), run=ANY)["rows"] == 20
    pq.write_table(rows, tmp_path / "in" / "z.parquet")
    with pytest.raises(UsageError, match="holds scores of another model, prompt, setting or type of ids"):
        run(str(tmp_path / "in"), run=ANY)


def test_a_score_in_folders_is_no_number(tmp_path: Path, run: Run) -> None:
    write(tmp_path / "in", pairs(20), "score")
    with pytest.raises(UsageError, match=r"column 'score' \(input\.columns\.score\) is string, not a number"):
        run(str(tmp_path / "in"), run=ANY)
