"""What a run says of its input: all that is passed over, and all that looks odd."""

from pathlib import Path

import pytest

from pipeline.output.commit import read_result
from pipeline.storage.folder import Folder
from tests.pipeline.conftest import Run, pairs, write


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
