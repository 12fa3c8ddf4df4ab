"""pipeline/storage/folder.py: put, read, list and delete on local disk, in memory and on S3."""

import os
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Barrier
from uuid import uuid4

import fsspec
import pytest

from pipeline.errors import RefusedError, StoreError
from pipeline.storage.folder import Folder
from pipeline.storage.urls import make_absolute, open_url
from tests.s3_counter import record_requests

# On every store


def test_what_was_put_is_read_and_listed(folder: Folder) -> None:
    assert folder.files() == {}
    folder.put("manifest.json", b"{}")
    folder.put("ranked/part-0.parquet", b"part")
    folder.put("empty", b"")
    assert folder.read("ranked/part-0.parquet") == b"part"
    assert folder.read("empty") == b""
    assert folder.files() == {"empty": 0, "manifest.json": 2, "ranked/part-0.parquet": 4}
    assert list(folder.files()) == sorted(folder.files())


def test_put_replaces_and_put_new_keeps_the_first(folder: Folder) -> None:
    assert folder.put_new("unit.parquet", b"first") is True
    assert folder.put_new("unit.parquet", b"second") is False
    assert folder.read("unit.parquet") == b"first"
    folder.put("unit.parquet", b"third")
    assert folder.read("unit.parquet") == b"third"
    folder.put("unit.parquet", b"fourth")
    assert folder.read("unit.parquet") == b"fourth"
    assert folder.put_new("unit.parquet", b"fifth") is False
    assert folder.files() == {"unit.parquet": 6}


def test_a_file_that_is_not_there_is_an_error(folder: Folder) -> None:
    with pytest.raises(FileNotFoundError):
        folder.read("_SUCCESS")
    folder.put("manifest.json", b"{}")
    with pytest.raises(FileNotFoundError):
        folder.read("_SUCCESS")


def test_ranges_come_in_the_order_asked_for(folder: Folder) -> None:
    folder.put("a", b"0123456789")
    folder.put("below/b", b"abc")
    ranges = [("below/b", 1, 3), ("a", 0, 10), ("a", 9, 10), ("a", 2, 4)]
    assert folder.read_ranges(ranges) == [b"bc", b"0123456789", b"9", b"23"]
    assert folder.read_ranges([]) == []


def test_a_range_of_bytes_that_are_not_there_is_an_error_that_names_the_file(folder: Folder) -> None:
    folder.put("a", b"0123456789")
    with pytest.raises(FileNotFoundError, match=f"{folder.url}/b"):
        folder.read_ranges([("a", 0, 1), ("b", 0, 1)])
    with pytest.raises(StoreError, match=f"{folder.url}/a: asked for bytes 5 to 11, got 5"):
        folder.read_ranges([("a", 5, 11)])


def test_deleted_files_are_gone_and_one_that_was_not_there_is_fine(folder: Folder) -> None:
    for name in ("a", "b", "below/c"):
        folder.put(name, b"1")
    folder.delete(["a", "below/c", "never"])
    assert folder.files() == {"b": 1}
    folder.delete(["never"])
    folder.delete([])
    assert folder.files() == {"b": 1}


def test_a_deleted_file_can_be_put_new(folder: Folder) -> None:
    folder.put_new("unit.parquet", b"old")
    folder.delete(["unit.parquet"])
    assert folder.put_new("unit.parquet", b"new") is True
    assert folder.read("unit.parquet") == b"new"


def test_files_are_those_whose_names_start_with_the_prefix(folder: Folder) -> None:
    names = ["000001-0000", "000001-0001", "000002-0000", "scores/a/1", "scores/a/2", "scores/b/1", "scoresheet"]
    for name in names:
        folder.put(name, b"1")
    for prefix in (
        "",
        "000001",
        "000001-",
        "scores",
        "scores/",
        "scores/a",
        "scores/a/",
        "scores/a/2",
        "none",
        "none/",
    ):
        assert list(folder.files(prefix)) == [name for name in names if name.startswith(prefix)], prefix
        assert folder.names(prefix) == list(folder.files(prefix))


def test_a_folder_below_is_the_same_files_by_shorter_names(folder: Folder) -> None:
    below = folder.below("scores/4e38")
    below.put("plan.parquet", b"plan")
    assert folder.files() == {"scores/4e38/plan.parquet": 4}
    assert below.files() == {"plan.parquet": 4}
    assert below.path("plan.parquet") == f"{folder.url}/scores/4e38/plan.parquet"


def test_another_process_would_find_a_file_by_its_path(folder: Folder) -> None:
    folder.put("part.parquet", b"part")
    fs, path = open_url(make_absolute(folder.path("part.parquet")))
    assert fs.cat_file(path) == b"part"


def test_a_listing_is_never_an_old_one(folder: Folder) -> None:
    assert folder.files() == {}
    fs, path = fsspec.core.url_to_fs(folder.path("other.parquet"), skip_instance_cache=True)
    fs.makedirs(fs._parent(path), exist_ok=True)
    fs.pipe_file(path, b"1")  # by somebody else
    assert folder.files() == {"other.parquet": 1}


@pytest.mark.parametrize("folder", ["local", "s3"], indirect=True)
def test_of_many_that_put_at_once_one_wins(folder: Folder) -> None:
    folder.put("made", b"")
    for attempt in range(5):
        barrier = Barrier(8)

        def put(writer: int, name: str = f"unit-{attempt}", barrier: Barrier = barrier) -> bool:
            barrier.wait()
            return folder.put_new(name, b"%d" % writer * 10_000)

        with record_requests() if "s3:" in folder.url else open(os.devnull), ThreadPoolExecutor(8) as pool:
            won = list(pool.map(put, range(8)))
        assert won.count(True) == 1
        assert folder.read(f"unit-{attempt}") == b"%d" % won.index(True) * 10_000
    assert len(folder.files()) == 6


# S3


def test_put_new_asks_s3_for_put_if_absent_in_one_request(s3_server: str) -> None:
    folder = Folder(f"s3://bucket/{uuid4().hex}")
    with record_requests() as requests:
        folder.put_new("unit", b"1")
        folder.put_new("unit", b"2")
        folder.put("unit", b"3")
    assert [(request.method, request.headers.get("IF_NONE_MATCH")) for request in requests.all] == [
        ("PUT", "*"),
        ("PUT", "*"),
        ("PUT", None),
    ]


def test_a_file_too_big_for_one_request_is_put_new_too(s3_server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """s3fs cuts at 100 MB; here it has to cut at 10, with S3's smallest parts, to the same code."""
    folder = Folder(f"s3://bucket/{uuid4().hex}")
    fs, _ = open_url(folder.url)
    monkeypatch.setattr(fs, "pipe_file", partial(fs.pipe_file, chunksize=5 * 2**20))
    with record_requests() as requests:
        assert folder.put_new("unit", b"a" * 11 * 2**20) is True
        assert folder.put_new("unit", b"b" * 11 * 2**20) is False
    assert folder.read("unit") == b"a" * 11 * 2**20
    assert [request.method for request in requests.all].count("PUT") == 6  # parts


def test_a_bucket_that_is_not_there_is_an_error(s3_server: str) -> None:
    folder = Folder("s3://no-such-bucket/out")
    for put in (folder.put, folder.put_new):
        with pytest.raises(FileNotFoundError):
            put("unit", b"1")


def test_a_refusal_is_told_from_a_file_that_is_there(s3_server: str) -> None:
    folder = Folder("s3://bucket/refused")
    with record_requests(forbidden="/bucket/refused"):
        with pytest.raises(RefusedError, match=r"refused/unit: cannot be written: no permission \(AccessDenied: No\)"):
            folder.put_new("unit", b"1")
        with pytest.raises(RefusedError, match=r"refused/unit: cannot be read: no permission \(AccessDenied: No\)"):
            folder.read("unit")


def test_a_file_that_s3_silently_keeps_is_an_error(s3_server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """s3fs says nothing of the keys in a bulk delete that the server refused, so they are deleted one by one."""
    folder = Folder("s3://bucket/kept")
    for name in ("scores/a/1.parquet", "scores/a/2.parquet"):
        folder.put_new(name, b"x")
    monkeypatch.setattr(open_url(folder.url)[0], "rm", lambda paths: None)
    with (
        record_requests(forbidden="/bucket/kept/scores"),
        pytest.raises(RefusedError, match=r"1.parquet: cannot be deleted"),
    ):
        folder.delete(["scores/a/1.parquet", "scores/a/2.parquet"])
    folder.delete(["scores/a/3.parquet"])  # one that is gone already is fine
    folder.delete(["scores/a/1.parquet", "scores/a/2.parquet"])
    assert folder.files() == {}
