"""Whole runs whose input changes: between two runs, and while one goes on."""

import os
import shutil
from pathlib import Path

import pytest

from pipeline.errors import RunError
from pipeline.input.result import read_result
from pipeline.storage.folder import Folder
from tests.pipeline.conftest import ROWS, Interrupted, Run, pairs, write
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
    assert "1 came, 0 changed, 0 went" in capsys.readouterr().err


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
