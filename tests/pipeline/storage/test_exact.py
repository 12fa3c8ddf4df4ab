"""Reads of one version of a file: what another process puts there meanwhile is not read under its name."""

import os
from pathlib import Path

import pytest

from pipeline.errors import RunError
from pipeline.input.listing import list_inputs
from pipeline.storage.folder import Folder
from pipeline.storage.urls import fetch

OLD, NEW = b"old bytes.", b"new bytes."  # of one length


def version(path: str) -> str:
    (file,) = list_inputs([path])
    return file.version


def test_a_local_file_that_was_written_again_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    path.write_bytes(OLD)
    listed = version(str(path))
    assert fetch(str(path), 0, 3, version=listed) == b"old"
    assert fetch(str(path), 4, version=listed) == b"bytes."
    path.write_bytes(NEW)
    with pytest.raises(RunError, match=r"a\.parquet: has changed while the run read it"):
        fetch(str(path), 0, 3, version=listed)


def test_a_local_file_that_is_written_while_it_is_read_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.parquet"
    path.write_bytes(OLD)
    before = path.stat()
    listed, real = version(str(path)), os.fstat
    calls: list[int] = []

    def fstat(number: int) -> os.stat_result:
        found = real(number)
        if not calls:  # after the first look: other bytes, and then the old ones, with their time
            path.write_bytes(NEW)
            path.write_bytes(OLD)
            os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        calls.append(number)
        return found

    monkeypatch.setattr("pipeline.storage.exact.os.fstat", fstat)
    with pytest.raises(RunError, match=r"a\.parquet: has changed while the run read it"):
        fetch(str(path), 0, 3, version=listed)
    assert version(str(path)) == listed


def test_an_object_of_another_etag_is_not_read(s3_server: str) -> None:
    folder = Folder("s3://bucket/exact")
    folder.put("a.parquet", OLD)
    listed = version("s3://bucket/exact/a.parquet")
    assert fetch("s3://bucket/exact/a.parquet", 0, 3, version=listed) == b"old"
    assert fetch("s3://bucket/exact/a.parquet", 4, version=listed) == b"bytes."
    folder.put("a.parquet", NEW)
    with pytest.raises(RunError, match=r"s3://bucket/exact/a\.parquet: has changed while the run read it"):
        fetch("s3://bucket/exact/a.parquet", 0, 3, version=listed)
    with pytest.raises(FileNotFoundError, match=r"s3://bucket/exact/b\.parquet"):
        fetch("s3://bucket/exact/b.parquet", 0, 3, version=listed)
