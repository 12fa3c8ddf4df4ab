"""URLs and local paths, on any store that fsspec knows: their file system, their one full name, their bytes.

Credentials come from the environment or the machine's role. Listings are never cached.
"""

import os
from typing import Any

import fsspec
from fsspec.implementations.local import LocalFileSystem
from fsspec.utils import get_protocol
from s3fs import S3FileSystem

from pipeline.errors import StoreError, one_line
from pipeline.storage.exact import read_exact
from pipeline.storage.retry import RETRIES, Retries, call_with_retries

S3_TRIES = 6  # of a request by botocore, with 0 to 1, 2, 4, 8 and 16 seconds between them


def open_url(url: str) -> tuple[Any, str]:
    """The file system of a URL or local path, and the path on it. Raises ValueError for an unknown protocol."""
    if "://" not in url:  # fsspec would take a name with `::` for two
        local = fsspec.filesystem("file", use_listings_cache=False)
        return local, local._strip_protocol(url)
    if get_protocol(url) in S3FileSystem.protocol:
        fs, path = fsspec.core.url_to_fs(url, use_listings_cache=False, config_kwargs=_make_s3_config())
        fs.retries = 1  # s3fs's own retries multiply botocore's: by default it sends a request that times out 125 times
        return fs, path
    try:
        return fsspec.core.url_to_fs(url, use_listings_cache=False)
    except ImportError as error:
        raise ImportError(f"{one_line(error)} (in the checkout: pip install '.[clouds]')") from None
    except TypeError:  # a file system that has no listings to cache
        return fsspec.core.url_to_fs(url)


def _make_s3_config() -> dict[str, Any]:
    """botocore's settings. FSSPEC_S3='{"config_kwargs": {...}}' in the environment replaces any of them."""
    # The standard mode has a quota of retries, so that many threads do not add to the trouble of a failing store.
    retries = {"mode": "standard", "total_max_attempts": int(os.environ.get("AWS_MAX_ATTEMPTS", S3_TRIES))}
    config = {"connect_timeout": 10, "read_timeout": 20, "retries": retries}
    return config | fsspec.config.conf.get("s3", {}).get("config_kwargs", {})


def is_local(url: str) -> bool:
    return isinstance(open_url(url)[0], LocalFileSystem)


def build_url(fs: Any, path: str) -> str:
    """The one name by which `open_url` finds a path of this file system again; a local path has no protocol."""
    return "/" + os.path.normpath(path).lstrip("/") if isinstance(fs, LocalFileSystem) else fs.unstrip_protocol(path)


def make_absolute(url: str) -> str:
    """A path or URL in the one form under which every process finds it."""
    return build_url(*open_url(url)).rstrip("/") or "/"


def fetch(
    url: str, start: int | None = None, stop: int | None = None, retries: Retries = RETRIES, version: str = ""
) -> bytes:
    """The bytes of a file from `start` to before `stop`, or all of them, in one request.

    version: of a file of the input, as it was listed. Raises FileNotFoundError with the URL; StoreError where the file
    is shorter; RunError where the store can tell that it has another version (pipeline/storage/exact.py).
    """
    fs, path = open_url(url)
    at_once = {"max_concurrency": 1} if isinstance(fs, S3FileSystem) else {}  # else it asks for the size first

    def read() -> bytes:
        if version:
            return read_exact(fs, path, start or 0, stop, version)
        return fs.cat_file(path, start=start, end=stop, **at_once)

    try:
        data = call_with_retries(f"{url}: cannot be read", read, retries)
    except FileNotFoundError:  # S3's does not say which
        raise FileNotFoundError(url) from None
    if start is not None and stop is not None and len(data) != stop - start:
        raise StoreError(f"{url}: asked for bytes {start} to {stop}, got {len(data)}; it was changed or cut short")
    return data


def sends_ranges(url: str) -> bool:
    """Whether a store sends the bytes of a file that it is asked for, and not all of them, as some web servers do."""
    fs, path = open_url(url)
    return len(call_with_retries(f"{url}: cannot be read", lambda: fs.cat_file(path, start=4, end=8), RETRIES)) == 4


def fetch_listed(url: str, start: int, stop: int, version: str = "") -> bytes:
    """The same for a file that a listing has shown: StoreError if it is gone."""
    try:
        return fetch(url, start, stop, version=version)
    except FileNotFoundError:
        raise StoreError(f"{url}: is gone since it was listed") from None
