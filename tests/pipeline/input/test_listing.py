"""pipeline/input/listing.py: which files a path means, on local disk, in memory and on S3."""

import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest

from pipeline.errors import RunError, StoreError, UsageError
from pipeline.input.listing import list_inputs
from tests.s3_counter import record_requests

# A listing sees the name, size and version of a file, so any content will do.
TREE = [
    "pairs.parquet",
    "part-1.parquet",
    "part-10.parquet",
    "part-2.parquet",
    "UPPER.PARQUET",
    "notes.txt",
    "pairs.parquet.crc",
    "_SUCCESS",
    "_metadata.parquet",
    ".hidden.parquet",
    "day=1/a.parquet",
    "day=2/deeper/b.parquet",
    "_temporary/0/half.parquet",
    ".staging/half.parquet",
    "spark.parquet/part-0.parquet",
    "spark.parquet/part-1.parquet",
    "spark.parquet/_SUCCESS",
    "spark.parquet/.part-0.parquet.crc",
    "table/shard",
]


@pytest.fixture(scope="module", params=["local", "memory", "s3"])
def root(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a folder that holds TREE; every file's content is its own name."""
    if request.param == "s3":
        request.getfixturevalue("s3_server")
    local = str(tmp_path_factory.mktemp("tree"))
    url = {"local": local, "memory": "memory:///tree", "s3": "s3://bucket/tree"}[request.param]
    fs, folder = fsspec.core.url_to_fs(url)
    for name in TREE:
        fs.makedirs(fs._parent(f"{folder}/{name}"), exist_ok=True)
        fs.pipe_file(f"{folder}/{name}", name.encode())
    yield url
    fs.rm(folder, recursive=True)


# A path below the root, and the files of TREE that it means, in order.
MEANS = [
    (["pairs.parquet"], ["pairs.parquet"]),
    (["_metadata.parquet"], ["_metadata.parquet"]),  # asked for by name
    (["table/shard"], ["table/shard"]),  # a file needs no ending when it is named
    (["day=2"], ["day=2/deeper/b.parquet"]),
    (["day=2/"], ["day=2/deeper/b.parquet"]),
    (["_temporary"], ["_temporary/0/half.parquet"]),
    (["spark.parquet"], ["spark.parquet/part-0.parquet", "spark.parquet/part-1.parquet"]),
    (
        [""],
        [
            "UPPER.PARQUET",
            "day=1/a.parquet",
            "day=2/deeper/b.parquet",
            "pairs.parquet",
            "part-1.parquet",
            "part-10.parquet",
            "part-2.parquet",
            "spark.parquet/part-0.parquet",
            "spark.parquet/part-1.parquet",
        ],
    ),
    (["part-*.parquet"], ["part-1.parquet", "part-10.parquet", "part-2.parquet"]),
    (["part-?.parquet"], ["part-1.parquet", "part-2.parquet"]),
    (["part-[12].parquet"], ["part-1.parquet", "part-2.parquet"]),
    (["day=*"], ["day=1/a.parquet", "day=2/deeper/b.parquet"]),
    (["day=*/*.parquet"], ["day=1/a.parquet"]),
    (["spark*"], ["spark.parquet/part-0.parquet", "spark.parquet/part-1.parquet"]),
    (["spark.parquet/*"], ["spark.parquet/part-0.parquet", "spark.parquet/part-1.parquet"]),
    (["*/*/*.parquet"], ["day=2/deeper/b.parquet"]),  # and not what half a job left in _temporary
    (["_temporary/*/*.parquet"], ["_temporary/0/half.parquet"]),  # but when it is asked for
    (["_*.parquet"], ["_metadata.parquet"]),
    (["**/b.parquet"], ["day=2/deeper/b.parquet"]),
    (["part-2.parquet", "part-1.parquet"], ["part-2.parquet", "part-1.parquet"]),
    (["part-2.parquet", "part-*.parquet"], ["part-2.parquet", "part-1.parquet", "part-10.parquet"]),
    (["day=1", "day=1/a.parquet", "day=*"], ["day=1/a.parquet", "day=2/deeper/b.parquet"]),
]


@pytest.mark.parametrize("asked, found", MEANS, ids=[" ".join(asked) or "the root" for asked, _ in MEANS])
def test_a_path_means_these_files_in_this_order(root: str, asked: list[str], found: list[str]) -> None:
    files = list_inputs([f"{root}/{name}" for name in asked])
    assert [file.path for file in files] == [f"{root}/{name}" for name in found]
    assert [file.size for file in files] == [len(name) for name in found]


def test_a_file_has_one_version_however_it_is_listed(root: str) -> None:
    ways = [f"{root}/day=1/a.parquet", f"{root}/day=1", f"{root}/day=*/a.parquet"]
    versions = {file.version for way in ways for file in list_inputs([way])}
    assert len(versions) == 1 and versions != {"None"}


def test_a_file_written_again_has_another_version(root: str) -> None:
    def listed() -> dict[str, str]:
        return {file.path: file.version for file in list_inputs([root])}

    before = listed()
    fs, path = fsspec.core.url_to_fs(f"{root}/pairs.parquet")
    fs.pipe_file(path, b"PAIRS.PARQUET")  # of the same size
    after = listed()
    assert {path for path in before if before[path] != after[path]} == {f"{root}/pairs.parquet"}


@pytest.mark.parametrize("asked", ["new", "new/*.parquet"])
def test_a_listing_is_never_an_old_one(root: str, asked: str) -> None:
    fs, folder = fsspec.core.url_to_fs(f"{root}/new", skip_instance_cache=True)  # somebody else
    fs.makedirs(folder, exist_ok=True)
    for name in ("a", "b"):
        fs.pipe_file(f"{folder}/{name}.parquet", b"1")
        assert list_inputs([f"{root}/{asked}"])[-1].path == f"{root}/new/{name}.parquet"
    fs.rm(folder, recursive=True)


def test_names_of_one_local_file_are_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.parquet").write_bytes(b"1")
    monkeypatch.chdir(tmp_path)
    here = str(tmp_path)
    names = ["a.parquet", "./a.parquet", f"{here}/a.parquet", f"{here}//a.parquet", f"{here}/../{tmp_path.name}"]
    assert [file.path for file in list_inputs([*names, f"file://{here}/a.parquet", "*.parquet"])] == [
        f"{here}/a.parquet"
    ]


def test_a_local_name_with_brackets_is_that_file_and_no_glob(tmp_path: Path) -> None:
    for name in ("pairs[1].parquet", "pairs1.parquet"):
        (tmp_path / name).write_bytes(b"1")
    assert [file.path for file in list_inputs([f"{tmp_path}/pairs[1].parquet"])] == [f"{tmp_path}/pairs[1].parquet"]


def test_a_link_is_the_file_it_leads_to(tmp_path: Path) -> None:
    (tmp_path / "target").write_bytes(b"1")
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.parquet").symlink_to(tmp_path / "target")
    for changed in (0, 1):  # archives that are to be the same every time have 0
        os.utime(tmp_path / "target", (changed, changed))
        for path in ("in", "in/a.parquet", "in/*.parquet", "*/a.parquet"):
            (file,) = list_inputs([f"{tmp_path}/{path}"])
            assert (file.path, file.size, file.version) == (f"{tmp_path}/in/a.parquet", 1, f"{changed}.0")


def test_a_link_to_a_folder_is_followed_where_it_is_asked_for(tmp_path: Path) -> None:
    (tmp_path / "target").mkdir()
    (tmp_path / "target" / "a.parquet").write_bytes(b"1")
    (tmp_path / "in").mkdir()
    for name in ("day=1", "day=2.parquet", "_day=3"):
        (tmp_path / "in" / name).symlink_to(tmp_path / "target")
    for path in ("in/day=1", "in/day=1*", "in/day=2.parquet", "in/day=2*", "in/*"):
        assert {file.path.rpartition("/")[2] for file in list_inputs([f"{tmp_path}/{path}"])} == {"a.parquet"}
    assert len(list_inputs([f"{tmp_path}/in/*"])) == 2
    with pytest.raises(UsageError, match=r"in/day=1: a link to a folder, which is not followed"):
        list_inputs([f"{tmp_path}/in"])


def test_a_name_that_cannot_be_opened_on_its_store_is_refused(s3_server: str) -> None:
    import s3fs

    s3fs.S3FileSystem().call_s3("put_object", Bucket="bucket", Key="colons/a::b.parquet", Body=b"1")
    with pytest.raises(UsageError, match=r"'s3://bucket/colons/a::b.parquet': no file can be opened by this name"):
        list_inputs(["s3://bucket/colons"])


@pytest.mark.parametrize(
    "asked, says",
    [
        ("missing", "no such file or directory"),
        ("missing.parquet", "no such file or directory"),
        ("pairs.parquet/below.parquet", "no such file or directory"),
        ("missing/*.parquet", "no Parquet file there"),
        ("*.csv", "no Parquet file there"),
        ("table", "no Parquet file there; files passed over: 1 that {root}/table/* would read"),
    ],
)
def test_a_path_without_files_is_named(root: str, asked: str, says: str) -> None:
    with pytest.raises(UsageError) as error:
        list_inputs([f"{root}/day=1", f"{root}/{asked}"])
    assert str(error.value) == f"input.path = '{root}/{asked}': {says.format(root=root)}"


def test_an_empty_directory_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=f"input.path = '{tmp_path}': no Parquet file there"):
        list_inputs([str(tmp_path)])


@pytest.mark.parametrize(
    "path, says",
    [
        ("s3://no-such-bucket/pairs.parquet", "no such file or directory"),
        ("s3://no-such-bucket/pairs", "no such file or directory"),
        ("s3://no-such-bucket/*.parquet", "no such file or directory|no Parquet file there"),
        ("s3://Not_a_bucket!/pairs.parquet", "Not_a_bucket"),
        ("nosuchprotocol://bucket/pairs", "nosuchprotocol"),
    ],
)
def test_a_store_or_bucket_that_is_none_is_named(s3_server: str, path: str, says: str) -> None:
    with pytest.raises(UsageError, match=f"^input.path = '.*': .*{says}"):
        list_inputs([path])


@pytest.mark.parametrize("path", ["s3://bucket/secret/pairs.parquet", "s3://bucket/secret", "s3://bucket/secret/*"])
def test_a_refusal_of_the_store_is_told_from_a_missing_file(s3_server: str, path: str) -> None:
    with record_requests(forbidden="/bucket"), pytest.raises(UsageError) as error:
        list_inputs([path])
    assert str(error.value).startswith(f"input.path = '{path}': cannot be listed: no permission (")


def test_a_store_that_does_not_answer_is_no_fault_of_the_config(
    s3_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    import s3fs

    s3fs.S3FileSystem.clear_instance_cache()
    try:
        with pytest.raises(RunError, match=r"s3://bucket/x.parquet': cannot be listed: .*127\.0\.0\.1:9") as error:
            list_inputs(["s3://bucket/x.parquet"])
        assert error.value.exit_code == 1
    finally:
        s3fs.S3FileSystem.clear_instance_cache()


def test_an_empty_object_that_stands_for_a_folder_on_s3_is_no_file(s3_server: str) -> None:
    """The S3 console and Hadoop put one of the folder's name and a slash."""
    import s3fs

    fs = s3fs.S3FileSystem()
    fs.call_s3("put_object", Bucket="bucket", Key="marked/", Body=b"")
    fs.call_s3("put_object", Bucket="bucket", Key="marked/spark.parquet/", Body=b"")
    fs.pipe_file("bucket/marked/a.parquet", b"1")
    fs.pipe_file("bucket/marked/spark.parquet/b.parquet", b"1")
    expected = ["s3://bucket/marked/a.parquet", "s3://bucket/marked/spark.parquet/b.parquet"]
    for path in ("s3://bucket/marked", "s3://bucket/marked/", "s3://bucket/marked/*"):
        assert [file.path for file in list_inputs([path])] == expected


def test_a_directory_on_s3_is_listed_without_a_request_per_file(s3_server: str) -> None:
    import s3fs

    for i in range(30):
        s3fs.S3FileSystem().pipe_file(f"bucket/thirty/part-{i:02d}.parquet", b"1")
    with record_requests() as requests:
        assert len(list_inputs(["s3://bucket/thirty"])) == 30
    assert len(requests) == 1 + 4  # four for what a table would have in the bucket
    with record_requests() as requests:
        assert len(list_inputs(["s3://bucket/thirty/part-*.parquet"])) == 30
    assert len(requests) <= 4 + 4


def test_a_runs_output_is_not_its_result(tmp_path: Path) -> None:
    """`output.path` of one run given as `input.path` of the next, where its folder ranked/ is meant."""
    for name in ("_SUCCESS", "ranked/part-00000-0123456789ab.parquet", "scores/0123456789abcdef/plan.parquet"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    with pytest.raises(UsageError, match=r"is a run's output; its result is .*/ranked"):
        list_inputs([str(tmp_path)])


@pytest.mark.parametrize("asked", ["", "/*", "/*/*.parquet", "/**/*.parquet", "/sub/*"])
@pytest.mark.parametrize("code", [errno.EIO, errno.ESTALE, errno.EMFILE])
def test_a_folder_that_cannot_be_listed_is_never_left_out(
    asked: str, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "sub", "_hidden"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.parquet").write_bytes(b"1")
    whole, broken = os.scandir, {str(tmp_path / "_hidden")}

    def scandir(path: Any) -> Any:
        if os.fspath(path) in broken:
            raise OSError(code, os.strerror(code), path)
        return whole(path)

    monkeypatch.setattr(os, "scandir", scandir)
    assert len(list_inputs([f"{tmp_path}{asked}"])) == (1 if asked == "/sub/*" else 2)
    broken.add(str(tmp_path / "sub"))
    with pytest.raises(StoreError, match=f"cannot be listed at {tmp_path}/sub.*{os.strerror(code)}"):
        list_inputs([f"{tmp_path}{asked}"])
    assert len(list_inputs([f"{tmp_path}/a*/*.parquet"])) == 1
