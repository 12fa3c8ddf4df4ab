"""pipeline/storage/folder.py on a local disk that is full, read-only or closed, or was used by a killed process."""

import os
import resource
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import RefusedError, StoreError
from pipeline.storage.folder import Folder

LARGE = b"1" * 200_000
NOBODY = 65534


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A real disk of 128 KiB."""
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", tmp_path], capture_output=True)
    if mounted.returncode:
        pytest.skip("mounting a disk takes root")
    yield tmp_path
    subprocess.run(["umount", tmp_path], check=True)


@pytest.mark.parametrize("put", ["put", "put_new"])
def test_a_full_disk_keeps_what_was_there_and_nothing_half_written(small_disk: Path, put: str) -> None:
    folder = Folder(str(small_disk))
    folder.put("standing", b"standing")
    name = "standing" if put == "put" else "new"
    with pytest.raises(StoreError, match=rf"^{small_disk}/{name}: cannot be written: No space left on device$"):
        getattr(folder, put)(name, LARGE)
    assert os.listdir(small_disk) == ["standing"]
    assert folder.read("standing") == b"standing"
    subprocess.run(["mount", "-o", "remount,size=1m", small_disk], check=True)
    getattr(folder, put)(name, LARGE)
    assert folder.read(name) == LARGE


@pytest.mark.parametrize("put", ["put", "put_new"])
def test_a_disk_that_became_read_only_refuses(small_disk: Path, put: str) -> None:
    folder = Folder(str(small_disk))
    folder.put("standing", b"standing")
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    with pytest.raises(RefusedError, match=r"/new: cannot be written: no permission \(Read-only file system\)$"):
        getattr(folder, put)("new", b"new")
    with pytest.raises(RefusedError, match=r"/standing: cannot be deleted: no permission"):
        folder.delete(["standing"])
    assert folder.files() == {"standing": 8}


@pytest.mark.parametrize("put", ["put", "put_new"])
def test_a_write_that_the_kernel_stops_halfway_leaves_nothing(tmp_path: Path, put: str) -> None:
    """A limit on the size of files needs no root, and cuts in the middle of a write as a quota does."""
    folder, limits = Folder(str(tmp_path)), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises(StoreError, match=r"/new: cannot be written: File too large$"):
            getattr(folder, put)("new", LARGE)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert os.listdir(tmp_path) == []


@pytest.fixture
def as_nobody() -> Iterator[Path]:
    """A folder of this process, which is not root while the test runs."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        root = os.geteuid() == 0
        if root:
            os.chown(folder, NOBODY, NOBODY)
            os.seteuid(NOBODY)
        yield Path(folder)
        os.chmod(folder, 0o700)
        if root:
            os.seteuid(0)


def test_a_permission_lost_midway_is_one_line(as_nobody: Path) -> None:
    folder = Folder(str(as_nobody))
    folder.put("standing", b"standing")
    os.chmod(as_nobody, 0o500)
    for put in (folder.put, folder.put_new):
        with pytest.raises(RefusedError, match=r"/new: cannot be written: no permission \(Permission denied\)$"):
            put("new", b"new")
    with pytest.raises(RefusedError, match=r"/standing: cannot be deleted: no permission"):
        folder.delete(["standing"])
    assert folder.files() == {"standing": 8}
    os.chmod(as_nobody, 0o000)
    with pytest.raises(RefusedError, match=r"/standing: cannot be read: no permission"):
        folder.read("standing")


def test_a_permission_lost_between_the_write_and_the_link_is_one_line(
    as_nobody: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sync = os.fsync

    def close(handle: int) -> None:
        sync(handle)
        os.chmod(as_nobody, 0o500)

    monkeypatch.setattr(os, "fsync", close)
    with pytest.raises(RefusedError, match=r"/new: cannot be written: no permission \(Permission denied\)$"):
        Folder(str(as_nobody)).put_new("new", b"new")
    assert "new" not in os.listdir(as_nobody)


def test_temporary_files_of_killed_processes_are_deleted_when_they_are_old(tmp_path: Path) -> None:
    folder = Folder(str(tmp_path))
    for name in ("ranked", "lease", "scores/f00/merged", "notes"):
        (tmp_path / name).mkdir(parents=True)
    left = [".put-0123456789abcdef", "ranked/.put-0123456789abcdef", "scores/f00/merged/.put-0123456789abcdef"]
    others = ["ranked/.put-by-hand", "ranked/part", "notes/.put-0123456789abcdef", "lease/.put-fedcba9876543210"]
    hour_ago = time.time() - 3601
    for name in (*left, *others):
        (tmp_path / name).write_bytes(b"half")
        os.utime(tmp_path / name, (hour_ago, hour_ago))
    os.utime(tmp_path / "lease/.put-fedcba9876543210")  # it may be a living process's
    folder.sweep_unfinished(["ranked", "scores", "lease", "none"])
    assert sorted(folder.files()) == sorted(others)


def test_a_temporary_file_that_its_process_takes_away_meanwhile_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".put-0123456789abcdef").write_bytes(b"half")
    scan = os.scandir

    def scanned(folder: Any) -> Any:
        entries = list(scan(folder))
        for entry in entries:
            os.unlink(entry.path)
        return entries

    monkeypatch.setattr(os, "scandir", scanned)
    Folder(str(tmp_path)).sweep_unfinished([])
