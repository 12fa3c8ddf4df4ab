"""Whole runs whose input changes: between two runs, and while one goes on."""

import os
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.errors import RunError, UsageError
from pipeline.input.result import read_result
from pipeline.storage.folder import Folder
from tests.pipeline.conftest import ROWS, Interrupted, Run, pairs, ranked, write
from tests.pipeline.run.stores import A, B, Place


def test_an_input_that_changes_while_it_is_read_is_noticed(tmp_path: Path, run: Run) -> None:
    path = write(pairs(), tmp_path / "in", 1)
    touched = Interrupted(after_scoring=lambda: os.utime(tmp_path / "in" / "000.parquet", ns=(0, 0)))
    with pytest.raises(RunError, match=r"000.parquet: has changed while the run read it"):
        run(path, cluster=touched)
    assert read_result(Folder(str(tmp_path / "out"))) is None


def test_a_file_that_comes_while_a_run_goes_on_is_not_in_it_and_is_said(
    tmp_path: Path, run: Run, capsys: pytest.CaptureFixture
) -> None:
    path, new = write(pairs(), tmp_path / "in", 2), tmp_path / "in" / "new.parquet"
    figures = run(path, cluster=Interrupted(after_scoring=lambda: shutil.copy(tmp_path / "in" / "000.parquet", new)))
    assert figures["rows"] == ROWS
    assert "1 files came while the run went on, and are not in its result: " in capsys.readouterr().err
    assert run(path, fusion={"alpha": 0.3})["rows"] == ROWS + 350
    assert capsys.readouterr().err.count(f" was made: 1 came, 0 changed, 0 went ({new} first)\n") == 1
    run(path, fusion={"alpha": 0.4})
    assert " was made: " not in capsys.readouterr().err


def test_a_file_that_was_replaced_while_it_was_read_is_not_called_damaged(tmp_path: Path, run: Run) -> None:
    path, file = write(pairs(), tmp_path / "in", 2), tmp_path / "in" / "001.parquet"
    replaced = b"PAR1" + bytes(file.stat().st_size - 8) + b"PAR1"
    with pytest.raises(RunError, match=r"001.parquet: has changed while the run read it") as raised:
        run(path, cluster=Interrupted(before_scoring=lambda: file.write_bytes(replaced)))
    assert raised.value.exit_code == 1


def test_a_file_that_was_replaced_before_its_columns_were_carried_is_named(tmp_path: Path, run: Run) -> None:
    path, file = write(pairs(), tmp_path / "in", 2), tmp_path / "in" / "001.parquet"
    emptied = Interrupted(after_scoring=lambda: file.write_bytes(bytes(file.stat().st_size)))
    with pytest.raises(RunError, match=r"001.parquet: has changed while the run read it"):
        run(path, output={"columns": ["doc"]}, cluster=emptied)


@pytest.mark.parametrize("name", ["part[1]", "part*", "part?1"])
def test_a_file_whose_name_has_the_syntax_of_globs_is_found_again(name: str, place: Place) -> None:
    """It is looked up by itself before its scores are put."""
    place.put(a=A, **{name: B})
    assert place.run()["rows"] == 180


@pytest.mark.parametrize("first", ["in/*", "in/**/*", "in/_old"], ids=["by a glob", "by a deep glob", "by its folder"])
def test_files_that_the_paths_do_not_list_leave_the_result(first: str, tmp_path: Path, run: Run) -> None:
    """Though they are still there, and lie below a path of the input."""
    path = write(pairs(100), tmp_path / "in", 1)
    hidden = write(pairs(150).slice(100), tmp_path / "in" / "_old", 1)
    if first != "in/_old":
        Path(hidden, "000.parquet").rename(tmp_path / "in" / "a.snappy.pq")
    run(f"{tmp_path}/{first}")
    with pytest.raises(UsageError, match=r"run\.on_gone=drop"):
        run(path)
    run(path, run={"on_gone": "drop"})
    run(path, "fresh")
    assert ranked(f"{tmp_path}/out").equals(ranked(f"{tmp_path}/fresh"))


@pytest.mark.parametrize(
    ("ids", "others"),
    [
        (pa.int64(), pa.decimal128(21, 2)),
        (pa.timestamp("ms"), pa.timestamp("us")),
        (pa.string(), pa.float64()),
        (pa.null(), pa.decimal128(21, 2)),
    ],
    ids=str,
)
def test_ids_of_another_form_do_not_come_into_a_result(
    ids: pa.DataType, others: pa.DataType, tmp_path: Path, run: Run
) -> None:
    """1 and 1.00 would be two queries. The file that comes is the first by name."""

    def put(name: str, kind: pa.DataType) -> None:
        query_id = pa.array([1, 1, 2, 2]).cast(others if pa.types.is_null(kind) else kind)
        table = pa.table({"query_id": query_id, "query": ["q"] * 4, "doc": list("abcd"), "score": [1.0, 2.0, 3.0, 4.0]})
        if pa.types.is_null(kind):
            table = table.set_column(0, "query_id", pa.nulls(4))
        pq.write_table(table, tmp_path / "in" / name)

    (tmp_path / "in").mkdir()
    put("b.parquet", ids)
    run(f"{tmp_path}/in", run={"max_failed": 1})
    if pa.types.is_null(ids):
        put("c.parquet", pa.int64())
        run(f"{tmp_path}/in", run={"max_failed": 1})
    put("a.parquet", others)
    for output in ("out", "fresh"):
        with pytest.raises(UsageError, match=r"type of ids|input\.columns\.query_id"):
            run(f"{tmp_path}/in", output, run={"max_failed": 1})
