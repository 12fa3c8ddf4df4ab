"""Reads bytes of one version of a file, and of no other: what was replaced and put back meanwhile is not read.

Local disk: the file that is open has the time of last change that was listed, before and after, and nothing has
written to it in between. S3: `If-Match` with the etag. Other stores cannot be asked so; who reads there looks the
version up afterwards.
"""

import os
from typing import Any

from fsspec.asyn import sync
from fsspec.implementations.local import LocalFileSystem
from s3fs import S3FileSystem

from pipeline.errors import RunError
from pipeline.storage.retry import get_error_code


def read_exact(fs: Any, path: str, start: int, stop: int | None, version: str) -> bytes:
    """The bytes of a file from `start` to before `stop`, or to its end, in one request.

    version: as the file was listed (pipeline/input/listing.py). Raises RunError where it is known to be another one.
    """
    if isinstance(fs, S3FileSystem):
        return sync(fs.loop, _read_s3, fs, path, start, stop, version)
    if isinstance(fs, LocalFileSystem):
        return _read_local(path, start, stop, version)
    return fs.cat_file(path, start=start, end=stop)


def make_changed_error(url: str) -> RunError:
    """The error of an input file that is not the one that was listed any more."""
    return RunError(f"{url}: has changed while the run read it; the same command scores its rows as they are now")


def _read_local(path: str, start: int, stop: int | None, version: str) -> bytes:
    with open(path, "rb") as file:
        before = os.fstat(file.fileno())
        file.seek(start)
        data = file.read() if stop is None else file.read(stop - start)
        after = os.fstat(file.fileno())
    if str(before.st_mtime) != version.partition("+")[0] or _times(before) != _times(after):
        raise make_changed_error(path)
    return data


def _times(about: os.stat_result) -> tuple[int, int, int]:
    return about.st_size, about.st_mtime_ns, about.st_ctime_ns  # the last cannot be set back


async def _read_s3(fs: Any, path: str, start: int, stop: int | None, version: str) -> bytes:
    bucket, key, _ = fs.split_path(path)
    wanted = f"bytes={start}-" if stop is None else f"bytes={start}-{stop - 1}"
    try:
        answer = await fs._call_s3("get_object", Bucket=bucket, Key=key, Range=wanted, IfMatch=f'"{version}"')
    except OSError as error:
        if get_error_code(error) in ("PreconditionFailed", "412"):
            raise make_changed_error(fs.unstrip_protocol(path)) from None
        raise
    async with answer["Body"] as body:
        return bytes(await body.read())
