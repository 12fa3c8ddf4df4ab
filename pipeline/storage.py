"""Folders on any store that fsspec knows: local disk, S3, and the others.

Invariant: a file appears whole or not at all, and `put_new` never replaces one that is there. Nothing is renamed.
Credentials come from the environment or the machine's role. Listings are never cached.
"""

import os
import secrets
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import fsspec
from fsspec.implementations.local import LocalFileSystem
from s3fs import S3FileSystem

Range = tuple[str, int, int]  # of a file: its name, first byte and last + 1


def open_url(url: str) -> tuple[Any, str]:
    """The file system of a URL or local path, and the path on it. Raises ValueError for an unknown protocol."""
    if "://" not in url:  # fsspec would take a name with `::` for two
        local = fsspec.filesystem("file", use_listings_cache=False)
        return local, local._strip_protocol(url)
    try:
        return fsspec.core.url_to_fs(url, use_listings_cache=False)
    except TypeError:  # a file system that has no listings to cache
        return fsspec.core.url_to_fs(url)


def is_local(url: str) -> bool:
    return isinstance(open_url(url)[0], LocalFileSystem)


def full_name(fs: Any, path: str) -> str:
    """The one name by which `open_url` finds a path of this file system again; a local path has no protocol."""
    return "/" + os.path.normpath(path).lstrip("/") if isinstance(fs, LocalFileSystem) else fs.unstrip_protocol(path)


def absolute(url: str) -> str:
    """A path or URL in the one form under which every process finds it."""
    return full_name(*open_url(url)).rstrip("/") or "/"


@dataclass(frozen=True)
class Folder:
    """A folder by its URL. File names are relative to it and use '/'."""

    url: str

    def below(self, name: str) -> "Folder":
        return Folder(self.path(name))

    def files(self, prefix: str = "") -> dict[str, int]:
        """Name -> size of all files below this folder that start with `prefix`, sorted; none without a folder."""
        fs, root = open_url(self.url)
        start = root.rstrip("/") + "/"
        folder, _, prefix = prefix.rpartition("/")
        if isinstance(fs, S3FileSystem):
            found = fs.find(start + folder, prefix=prefix, detail=True)
        else:
            found = fs.find(start + folder, detail=True)
        sizes = {path.removeprefix(start): info["size"] for path, info in found.items() if path.startswith(start)}
        wanted = f"{folder}/{prefix}" if folder else prefix
        return {name: size for name, size in sorted(sizes.items()) if name.startswith(wanted)}

    def present(self, names: list[str], prefix: str) -> set[str]:
        """Which of a few files, whose names start with `prefix`, are there: one request on S3."""
        fs, root = open_url(self.url)
        if isinstance(fs, S3FileSystem):
            return set(self.files(prefix)) & set(names)
        return {name for name in names if fs.exists(f"{root}/{name}")}

    def read(self, name: str) -> bytes:
        """A file's bytes. Raises FileNotFoundError."""
        fs, root = open_url(self.url)
        return fs.cat_file(f"{root}/{name}")

    def read_ranges(self, ranges: list[Range]) -> list[bytes]:
        """The bytes of each range: one request a range, many at once where the file system is asynchronous (S3 is).

        Raises FileNotFoundError with the file's URL; OSError where a file is shorter than its range.
        """
        fs, root = open_url(self.url)
        names, starts, stops = ([part[i] for part in ranges] for i in range(3))
        pieces = fs.cat_ranges([f"{root}/{name}" for name in names], starts, stops, on_error="return")
        for (name, start, stop), piece in zip(ranges, pieces, strict=True):
            if isinstance(piece, FileNotFoundError):  # S3's does not say which
                raise FileNotFoundError(self.path(name))
            if isinstance(piece, Exception):
                raise piece
            if len(piece) != stop - start:
                raise OSError(
                    f"{self.path(name)}: asked for bytes {start} to {stop}, got {len(piece)}; it was cut short"
                )
        return pieces

    def path(self, name: str) -> str:
        """The URL of a file in it."""
        return f"{self.url.rstrip('/')}/{name}"

    def put_new(self, name: str, data: bytes) -> bool:
        """Puts a file unless one of that name is there. Says whether it did.

        Local disk: a temporary file in the same folder, fsync, hard link. S3: `If-None-Match: *`. Another store is
        as exact as its fsspec file system's `pipe_file(mode="create")`.
        """
        fs, root = open_url(self.url)
        path = f"{root}/{name}"
        try:
            if isinstance(fs, LocalFileSystem):
                _write_local(path, data, os.link)
            else:
                fs.pipe_file(path, data, mode="create")
        except FileExistsError:
            return False
        return True

    def put(self, name: str, data: bytes) -> None:
        """Puts a file in place of one that may be there."""
        fs, root = open_url(self.url)
        path = f"{root}/{name}"
        if isinstance(fs, LocalFileSystem):
            _write_local(path, data, os.replace)
        else:
            fs.pipe_file(path, data)

    def delete(self, names: list[str]) -> None:
        """Deletes files; one that is gone already is fine."""
        fs, root = open_url(self.url)
        paths = [f"{root}/{name}" for name in names]
        if isinstance(fs, S3FileSystem):
            if paths:
                fs.rm(paths)  # a thousand a request, and silent about those that it could not delete
                if left := self.present(names, os.path.commonpath(names)):
                    raise PermissionError(f"{self.path(min(left))}: could not be deleted")
            return
        for path in paths:
            try:
                fs.rm_file(path)
            except FileNotFoundError:
                continue


def _write_local(path: str, data: bytes, place: Any) -> None:
    folder = os.path.dirname(path)
    os.makedirs(folder, exist_ok=True)
    temporary = f"{folder}/.put-{secrets.token_hex(8)}"
    # Not tempfile's: the result is for whom the umask lets read, and only the kernel can ask for it in a thread.
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        place(temporary, path)
    finally:
        with suppress(FileNotFoundError):  # os.replace has moved it away
            os.unlink(temporary)
