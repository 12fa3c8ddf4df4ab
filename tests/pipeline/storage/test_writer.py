"""pipeline/storage/writer.py: a file that is written piece by piece appears whole or not at all."""

import pytest

from pipeline.storage.folder import Folder
from pipeline.storage.writer import open_writer


def test_a_written_file_has_all_that_was_written(folder: Folder) -> None:
    for lines in (3, 2, 0):
        with open_writer(folder.path("runs/run.trec")) as file:
            for _ in range(lines):
                file.write(b"line\n")
        assert folder.read("runs/run.trec") == b"line\n" * lines
    assert list(folder.files()) == ["runs/run.trec"]


@pytest.mark.parametrize("folder", ["local", "s3"], indirect=True)
def test_a_file_that_was_not_written_to_its_end_does_not_appear(folder: Folder) -> None:
    folder.put("run.trec", b"an older run")
    for name in ("run.trec", "new.trec"):
        with pytest.raises(ZeroDivisionError), open_writer(folder.path(name)) as file:
            file.write(b"half a line")
            _ = 1 / 0
    assert folder.files() == {"run.trec": 12}
    assert folder.read("run.trec") == b"an older run"
