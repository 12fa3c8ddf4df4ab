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
from pipeline.storage.retry import patiently

S3_TRIES = 6  # botocore's, with 0 to 1, 2, 4, 8 and 16 seconds between them


def open_url(url: str) -> tuple[Any, str]:
    """The file system of a URL or local path, and the path on it. Raises ValueError for an unknown protocol."""
    if "://" not in url:  # fsspec would take a name with `::` for two
        local = fsspec.filesystem("file", use_listings_cache=False)
        return local, local._strip_protocol(url)
    if get_protocol(url) in S3FileSystem.protocol:
        fs, path = fsspec.core.url_to_fs(url, use_listings_cache=False, config_kwargs=_s3_config())
        fs.retries = 1  # s3fs's own multiply botocore's: as it comes, it asks 125 times for a file that times out
        return fs, path
    try:
        return fsspec.core.url_to_fs(url, use_listings_cache=False)
    except ImportError as error:
        raise ImportError(f"{one_line(error)} (in the checkout: pip install '.[clouds]')") from None
    except TypeError:  # a file system that has no listings to cache
        return fsspec.core.url_to_fs(url)


def _s3_config() -> dict[str, Any]:
    """botocore's settings. FSSPEC_S3='{"config_kwargs": {...}}' in the environment replaces any of them."""
    # The standard mode has a quota of retries, so that a store in trouble is not asked ever more by many threads.
    retries = {"mode": "standard", "total_max_attempts": int(os.environ.get("AWS_MAX_ATTEMPTS", S3_TRIES))}
    config = {"connect_timeout": 10, "read_timeout": 20, "retries": retries}
    return config | fsspec.config.conf.get("s3", {}).get("config_kwargs", {})


def is_local(url: str) -> bool:
    return isinstance(open_url(url)[0], LocalFileSystem)


def full_name(fs: Any, path: str) -> str:
    """The one name by which `open_url` finds a path of this file system again; a local path has no protocol."""
    return "/" + os.path.normpath(path).lstrip("/") if isinstance(fs, LocalFileSystem) else fs.unstrip_protocol(path)


def absolute(url: str) -> str:
    """A path or URL in the one form under which every process finds it."""
    return full_name(*open_url(url)).rstrip("/") or "/"


def fetch(url: str, start: int | None = None, stop: int | None = None) -> bytes:
    """The bytes of a file from `start` to before `stop`, or all of them, in one request.

    Raises FileNotFoundError with the URL; StoreError where the file is shorter.
    """
    fs, path = open_url(url)
    at_once = {"max_concurrency": 1} if isinstance(fs, S3FileSystem) else {}  # else it asks for the size first
    try:
        data = patiently(f"{url}: cannot be read", lambda: fs.cat_file(path, start=start, end=stop, **at_once))
    except FileNotFoundError:  # S3's does not say which
        raise FileNotFoundError(url) from None
    if start is not None and stop is not None and len(data) != stop - start:
        raise StoreError(f"{url}: asked for bytes {start} to {stop}, got {len(data)}; it was changed or cut short")
    return data


def fetch_known(url: str, start: int, stop: int) -> bytes:
    """As `fetch`, of a file that was there before; one that has gone is a StoreError, too."""
    try:
        return fetch(url, start, stop)
    except FileNotFoundError:
        raise StoreError(f"{url}: is gone since it was listed") from None
