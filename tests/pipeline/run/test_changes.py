"""Whole runs whose input changes: between two runs, and while one goes on."""

import os
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import pipeline.rank.carry
from pipeline.errors import RunError, UsageError
from pipeline.input.parquet import read_footer
from pipeline.output.commit import read_result
from pipeline.storage.folder import Folder
from tests.pipeline.conftest import ROWS, Interrupted, Run, in_order, pairs, ranked, write


def test_of_a_changed_input_only_the_changed_file_is_scored_again(
    tmp_path: Path, run: Run, capfd: pytest.CaptureFixture[str]
) -> None:
    path = write(pairs(), tmp_path / "in", 7)
    run(path)
    changed = tmp_path / "in" / "003.parquet"
    pq.write_table(pairs(410).slice(290), changed)  # 20 rows more than it had
    assert run(path)["scored_now"] == 120 - 2  # two documents of them are empty
    assert f"1 input files have changed, {changed} first" in capfd.readouterr().err
    run(path, "fresh")
    assert ranked(str(tmp_path / "out")).equals(ranked(str(tmp_path / "fresh")))
    names = [name.name for name in (tmp_path / "out").rglob("00*.parquet")]
    assert len(names) == 7 and "000003-0000.parquet" not in names, "scores of what is gone are swept"
    assert run(path)["scored_now"] == 0
    changed.unlink()
    with pytest.raises(UsageError, match=r"003.parquet: is gone"):
        run(path)


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
    assert "1 files came to the input while the run went on, and are not in its result: " in capsys.readouterr().err
    with pytest.raises(UsageError, match=r"new.parquet: is new since .* name the other files alone in input.path"):
        run(path, fusion={"alpha": 0.3})
    assert run(f"{path}/00*.parquet", fusion={"alpha": 0.3})["scored_now"] == 0


def test_a_file_that_was_replaced_while_it_was_read_is_not_called_damaged(tmp_path: Path, run: Run) -> None:
    path, file = write(pairs(), tmp_path / "in", 2), tmp_path / "in" / "001.parquet"
    replaced = b"PAR1" + bytes(file.stat().st_size - 8) + b"PAR1"
    with pytest.raises(RunError, match=r"001.parquet: has changed while the run read it") as raised:
        run(path, cluster=Interrupted(before_scoring=lambda: file.write_bytes(replaced)))
    assert raised.value.exit_code == 1


def test_a_file_that_is_put_back_brings_nothing_of_the_other_one_back(
    tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run that read other bytes has put scores and parts under the names of a run that had not."""
    path, file = write(pairs(), tmp_path / "in", 2), tmp_path / "in" / "001.parquet"
    run(path, "calm", output={"columns": ["doc"]})
    calm = in_order(tmp_path / "calm")
    before, kept = file.stat(), file.read_bytes()
    other = pq.read_table(file)
    docs = pa.array([f"other {i}" for i in range(len(other))])
    replaced = other.set_column(other.column_names.index("doc"), "doc", docs)
    with monkeypatch.context() as patch:
        patch.setattr(pipeline.rank.carry, "_footer", lambda path, size: read_footer(path, Path(path).stat().st_size))
        patch.setattr(pipeline.rank.carry, "read_batches", lambda path, size, *more: whole(path, *more))
        with pytest.raises(RunError, match=r"001.parquet: has changed while the run read it"):
            run(
                path,
                output={"columns": ["doc"]},
                cluster=Interrupted(after_scoring=lambda: pq.write_table(replaced, file, row_group_size=13)),
            )
    file.write_bytes(kept)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    run(path, output={"columns": ["doc"]})
    assert in_order(tmp_path / "out").equals(calm)


def whole(path: str, ranges: Any, row_groups: range, columns: list[str], batch_rows: int) -> Any:
    """Batches of a file as it is now."""
    return pq.ParquetFile(path).iter_batches(batch_rows, row_groups=list(row_groups), columns=columns)


def test_a_file_that_was_replaced_before_its_columns_were_carried_is_named(tmp_path: Path, run: Run) -> None:
    path, file = write(pairs(), tmp_path / "in", 2), tmp_path / "in" / "001.parquet"
    emptied = Interrupted(after_scoring=lambda: file.write_bytes(bytes(file.stat().st_size)))
    with pytest.raises(RunError, match=r"001.parquet: has changed while the run read it"):
        run(path, output={"columns": ["doc"]}, cluster=emptied)
