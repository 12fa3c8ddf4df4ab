"""What a run says of its input: all that is passed over, and all that looks odd."""

import shutil
from pathlib import Path

import pyarrow as pa
import pytest

from pipeline.output.commit import read_result
from pipeline.storage.folder import Folder
from tests.pipeline.conftest import SMALL, Run, pairs, ranked, write


def test_files_passed_over_are_told_of_and_in_the_manifest(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write(pairs(20), tmp_path / "in", 2)
    (tmp_path / "in" / "001.parquet").rename(tmp_path / "in" / "001.parq")
    assert run(folder)["rows"] == 10
    (line,) = (line for line in capsys.readouterr().err.splitlines() if "passed over" in line)
    assert line == f"rayrank: files passed over for their names: 1 that {folder}/*.parq would read"
    manifest = read_result(Folder(str(tmp_path / "out")))
    assert manifest and manifest["passed_over"] == {f"{folder}/*.parq": 1}


def test_carried_columns_of_nulls_go_with_those_of_any_type(run: Run, tmp_path: Path) -> None:
    rows = pairs(8)
    for name, urls in (("a", [None]), ("b", ["u", None]), ("c", [None])):
        url = pa.array(urls * (8 // len(urls)))
        year = pa.array([2026] * 8) if name == "c" else pa.nulls(8)
        ids = pa.array([f"{name}{i}" for i in range(8)])
        table = rows.set_column(2, "doc_id", ids).append_column("url", url).append_column("year", year)
        write(table, tmp_path / "in" / f"{name}.parquet", 1)
    for more in ({}, {"sizes": SMALL}):
        shutil.rmtree(tmp_path / "out", ignore_errors=True)
        run(str(tmp_path / "in"), output={"columns": ["url", "year"]}, run={"max_failed": 0.5}, more=more)
        found = ranked(str(tmp_path / "out")).to_pandas()
        assert {*found[found.url.notna()].doc_id} == {f"b{i}" for i in range(0, 8, 2)}
        assert {*found[found.year == 2026].doc_id} == {f"c{i}" for i in range(8)}
