"""A version of a file tells it from all others, and a file that changed since it was listed is noticed."""

import hashlib
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.errors import RunError
from pipeline.input.listing import InputFile, list_inputs
from pipeline.input.parquet import read_batches, read_footer
from pipeline.input.versions import add_footer_hashes, check_unchanged, is_coarse, look_up
from pipeline.storage.folder import Folder

SECOND = 1_795_000_000
VERSIONS = {
    "": True,
    "1795000000": True,
    "1795000000.0": True,
    "0.0": True,
    "1795000000.25": False,
    "1795000000000": False,  # milliseconds
    "d41d8cd98f00b204e9800998ecf8427e": False,
    "d41d8cd98f00b204e9800998ecf8427e-12": False,
    # etags that could be numbers
    "12345678901234567890123456789012": False,
    "1234567890123456789012345678e012": False,
    "0x8DB0C1D2E3F4A5B": False,
    "CJ+a3JrOgoMDEAE=": False,
}


@pytest.mark.parametrize("version", VERSIONS)
def test_a_version_is_coarse_if_it_is_a_time_in_whole_seconds(version: str) -> None:
    assert is_coarse(version) == VERSIONS[version]


def encode(*docs: str) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"doc": docs}), sink)
    return sink.getvalue().to_pybytes()


def put(path: Path, data: bytes, time: float = SECOND) -> InputFile:
    """Writes a file with this time of last change, and lists it as a run does."""
    path.write_bytes(data)
    os.utime(path, (time, time))
    (file,) = add_footer_hashes(list_inputs([str(path)]))
    return file


def test_a_coarse_version_has_a_hash_of_the_footer(tmp_path: Path) -> None:
    data = encode("a", "b")
    footer = data[-8 - int.from_bytes(data[-8:-4], "little") :]  # the format: ..., footer, its length, PAR1
    file = put(tmp_path / "a.parquet", data)
    assert file.version == f"{SECOND}.0+{hashlib.sha256(footer).hexdigest()[:16]}"
    assert put(tmp_path / "b.parquet", data, SECOND + 0.25).version == f"{SECOND}.25"


def test_two_writes_within_a_second_are_two_versions(tmp_path: Path) -> None:
    first = put(tmp_path / "a.parquet", encode("a", "b"))
    second = put(tmp_path / "a.parquet", encode("c", "d"))
    assert first.size == second.size and first.version != second.version
    assert put(tmp_path / "a.parquet", encode("a", "b")) == first


@pytest.mark.parametrize("data", [b"", b"PAR1", b"no Parquet file" * 9])
def test_what_is_no_parquet_file_keeps_its_version(data: bytes, tmp_path: Path) -> None:
    assert put(tmp_path / "a.parquet", data).version == f"{SECOND}.0"


def test_files_keep_their_order_and_only_coarse_ones_are_read(tmp_path: Path) -> None:
    gone = [InputFile(str(tmp_path / f"{i}.parquet"), 100, f"etag{i}") for i in range(50)]
    assert add_footer_hashes(gone) == gone
    files = [put(tmp_path / f"{i}.parquet", encode(str(i)), SECOND + i / 2) for i in range(40)]
    listed = [replace(file, version=file.version.partition("+")[0]) for file in files]
    assert add_footer_hashes(listed) == files
    assert ["+" in file.version for file in files] == [True, False] * 20


# A file that is looked up, on each kind of store


@pytest.fixture(params=["local", "whole seconds", "s3", "memory"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Folder]:
    match request.param:
        case "s3":
            request.getfixturevalue("s3_server")
            yield Folder("s3://bucket/versions")
        case "memory":
            yield Folder("memory://versions")
            fsspec.filesystem("memory").store.clear()
        case kind:
            yield Folder(f"{tmp_path}/{kind}")


def write(folder: Folder, data: bytes) -> None:
    folder.put("a.parquet", data)
    if folder.url.endswith("whole seconds"):
        os.utime(folder.path("a.parquet"), (SECOND, SECOND))


def test_a_file_that_is_written_again_has_changed(folder: Folder) -> None:
    write(folder, encode("a", "b"))
    (listed,) = add_footer_hashes(list_inputs([folder.url]))
    assert look_up(listed.path) == listed
    check_unchanged(listed)
    write(folder, encode("c", "d"))
    now = look_up(listed.path)
    assert now and (now.path, now.size) == (listed.path, listed.size) and now.version != listed.version
    with pytest.raises(RunError, match=r"a\.parquet: has changed"):
        check_unchanged(listed)
    folder.delete(["a.parquet"])
    assert look_up(listed.path) is None
    with pytest.raises(RunError, match=r"a\.parquet: has changed"):
        check_unchanged(listed)


def test_a_store_that_does_not_answer_does_not_make_a_file_gone(tmp_path: Path, monkeypatch: Any) -> None:
    file = put(tmp_path / "a.parquet", encode("a"))

    def fail(*unused: Any, **unused_too: Any) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(type(fsspec.filesystem("file")), "info", fail)
    with pytest.raises(RunError, match=r"cannot be listed.*Input/output error"):
        look_up(file.path)


# A footer's hash is compared whenever the footer is read


@pytest.mark.parametrize("moment", ["before", "after the footer"])
def test_a_file_that_is_written_again_within_the_second_is_not_read(moment: str, tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    listed = put(path, encode("a", "b"))
    batches = read_batches(str(path), listed.size, [], range(1), ["doc"], 1, listed.version)
    assert read_footer(str(path), listed.size, listed.version)[0].num_rows == 2
    if moment == "after the footer":
        assert next(batches)["doc"].to_pylist() == ["a"]
    put(path, encode("c", "d"))
    with pytest.raises(RunError, match=r"a\.parquet: has changed"):
        list(batches)
    with pytest.raises(RunError, match=r"a\.parquet: has changed"):
        read_footer(str(path), listed.size, listed.version)
