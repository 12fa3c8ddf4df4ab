"""pipeline/storage/local.py, through a folder: failed writes, temporary files, permissions."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import StoreError
from pipeline.storage import local
from pipeline.storage.folder import Folder


@pytest.mark.parametrize("put, name", [("put", "standing"), ("put_new", "new")])
@pytest.mark.parametrize("step", ["fdopen", "write", "fsync", "link or replace"])
def test_a_write_that_fails_leaves_what_was_there_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, put: str, name: str
) -> None:
    folder = Folder(str(tmp_path))
    folder.put("standing", b"standing")

    def full(*unused: Any, **unused_too: Any) -> None:
        raise OSError(28, "No space left on device")

    if step == "write":
        monkeypatch.setattr(local.os, "fdopen", _Unwritable)
    else:
        call = step if "or" not in step else {"put": "replace", "put_new": "link"}[put]
        monkeypatch.setattr(local.os, call, full)
    with pytest.raises(StoreError, match=f"{tmp_path}/{name}: cannot be written: No space left on device"):
        getattr(folder, put)(name, b"other")
    monkeypatch.undo()
    assert os.listdir(tmp_path) == ["standing"]
    assert folder.read("standing") == b"standing"


class _Unwritable:
    """A file on a full disk."""

    def __init__(self, handle: int, mode: str):
        self._handle = handle

    def __enter__(self) -> "_Unwritable":
        return self

    def __exit__(self, *unused: Any) -> None:
        os.close(self._handle)

    def write(self, data: bytes) -> None:
        raise OSError(28, "No space left on device")


def test_no_temporary_file_stays(tmp_path: Path) -> None:
    folder = Folder(str(tmp_path))
    folder.put("a", b"1")
    folder.put_new("b", b"1")
    folder.put_new("b", b"2")
    assert sorted(os.listdir(tmp_path)) == ["a", "b"]


@pytest.mark.parametrize("mask, mode", [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664), (0o027, 0o640)])
def test_permissions_follow_the_umask(tmp_path: Path, mask: int, mode: int) -> None:
    before = os.umask(mask)
    try:
        Folder(str(tmp_path)).put("put", b"1")
        Folder(str(tmp_path)).put_new("put_new", b"1")
    finally:
        os.umask(before)
    assert [(tmp_path / name).stat().st_mode & 0o777 for name in ("put", "put_new")] == [mode, mode]


def test_puts_in_threads_leave_the_umask_as_it_was(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        folder = Folder(str(tmp_path))
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda i: folder.put_new(f"{i}", b"1"), range(400)))
        after = os.umask(0o027)
    finally:
        os.umask(before)
    assert after == 0o027
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o640}
