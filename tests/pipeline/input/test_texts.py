"""Small texts that are read whole: packed or not, and what is said where there is none."""

import bz2
import gzip
import lzma
from collections.abc import Callable
from pathlib import Path

import pytest
import s3fs

from pipeline.errors import RefusedError, UsageError
from pipeline.input.texts import fetch_text


@pytest.mark.parametrize(
    ("name", "pack"),
    [("x.tsv", bytes), ("x.tsv.gz", gzip.compress), ("x.bz2", bz2.compress), ("x.xz", lzma.compress)],
)
def test_packed_by_their_names(name: str, pack: Callable[[bytes], bytes], tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(pack(b"q1 0 d1 1\n"))
    assert fetch_text(str(tmp_path / name), "the judgements") == b"q1 0 d1 1\n"


def test_on_a_store(s3_server: str) -> None:
    s3fs.S3FileSystem().pipe_file("bucket/qrels.gz", gzip.compress(b"a line"))
    assert fetch_text("s3://bucket/qrels.gz", "the judgements") == b"a line"
    with pytest.raises(UsageError, match=r"^s3://bucket/none: cannot read the judgements: s3://bucket/none$"):
        fetch_text("s3://bucket/none", "the judgements")


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("none", "cannot read the judgements: /"),
        ("broken.gz", "cannot read the judgements: Not a gzipped file"),
        ("no://x", "Protocol not known"),
    ],
)
def test_where_there_is_none_the_line_names_it(name: str, says: str, tmp_path: Path) -> None:
    (tmp_path / "broken.gz").write_bytes(b"no gzip")
    with pytest.raises(UsageError, match=says):
        fetch_text(name if "://" in name else str(tmp_path / name), "the judgements")


def test_missing_credentials_are_the_stores_error(
    s3_server: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("HOME", str(tmp_path))
    s3fs.S3FileSystem.clear_instance_cache()
    try:
        with pytest.raises(RefusedError, match=r"^s3://bucket/x: cannot be read: NoCredentialsError"):
            fetch_text("s3://bucket/x", "the judgements")
    finally:
        s3fs.S3FileSystem.clear_instance_cache()
