"""Folders on any store that fsspec knows: local disk, S3, and the others.

Invariant: a file appears whole or not at all, and `put_new` never replaces one that is there. Nothing is renamed.
Credentials come from the environment or the machine's role. Listings are never cached. On stores other than S3 they may
lag, so a listing alone never proves that a file is missing.
Methods retry where that may help, and raise StoreError with the file's URL when it did not.
"""

import os
from collections.abc import Callable, Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial

import pyarrow as pa
from botocore.exceptions import ParamValidationError
from fsspec.implementations.local import LocalFileSystem
from s3fs import S3FileSystem

from pipeline.errors import RefusedError, StoreError, UsageError, one_line
from pipeline.storage.local import ABANDONED_SECONDS, delete_abandoned, list_files, measure_files, open_whole
from pipeline.storage.retry import RETRIES, Result, Retries, call_with_retries, get_error_code
from pipeline.storage.urls import fetch, is_local, open_url

DELETE_THREADS = 32
MIN_PARALLEL_DELETES = 4  # below it a pool is not worth its threads, which delay the end of the process

Range = tuple[str, int, int]  # name of a file, first byte, last byte + 1


@dataclass(frozen=True)
class Folder:
    """A folder by its URL. File names are relative to it and use '/'."""

    url: str
    retries: Retries = field(default=RETRIES, repr=False, compare=False)

    def below(self, name: str) -> "Folder":
        return Folder(self.path(name), self.retries)

    def files(self, prefix: str = "") -> dict[str, int]:
        """Name -> size of all files below this folder that start with `prefix`, sorted; empty without a folder."""
        return self._list(prefix, lambda folder: dict(measure_files(folder)))

    def names(self, prefix: str = "") -> list[str]:
        """The names alone, which a local disk tells much faster."""
        return [*self._list(prefix, lambda folder: {file.path: 0 for file in list_files(folder)})]

    def _list(self, prefix: str, list_local: Callable[[str], dict[str, int]]) -> dict[str, int]:
        fs, root = open_url(self.url)
        start = root.rstrip("/") + "/"
        folder, _, prefix = prefix.rpartition("/")
        if isinstance(fs, LocalFileSystem):
            found = self._try(folder, "listed", lambda: list_local(start + folder))
        else:
            options = {"prefix": prefix} if isinstance(fs, S3FileSystem) else {}
            listed = self._try(folder, "listed", lambda: fs.find(start + folder, detail=True, **options))
            found = {path: info["size"] for path, info in listed.items()}
        wanted = start + (f"{folder}/{prefix}" if folder else prefix)
        return {path[len(start) :]: found[path] for path in sorted(found) if path.startswith(wanted)}

    def size(self, name: str) -> int | None:
        """A file's size, from the file itself and no listing; None where it is not there."""
        fs, root = open_url(self.url)
        try:
            info = self._try(name, "looked up", lambda: fs.info(f"{root}/{name}"))
        except (FileNotFoundError, NotADirectoryError):
            return None
        return int(info["size"]) if info["type"] == "file" else None

    def sizes(self, names: Iterable[str], listed: Mapping[str, int]) -> dict[str, int]:
        """Name -> size of files that should all be there.

        Files that the listing does not show are looked up. Raises FileNotFoundError with the URL of the first missing
        one.
        """
        sizes = {}
        for name in names:
            size = listed[name] if name in listed else self.size(name)
            if size is None:
                raise FileNotFoundError(self.path(name))
            sizes[name] = size
        return sizes

    def find_present(self, names: list[str], prefix: str) -> set[str]:
        """The files among `names`, which all start with `prefix`, that are there: one request on S3.

        A file that was put just now may be missing where listings lag.
        """
        fs, root = open_url(self.url)
        if isinstance(fs, S3FileSystem):
            return set(self.names(prefix)) & set(names)
        return {name for name in names if fs.exists(f"{root}/{name}")}

    def read(self, name: str) -> bytes:
        """A file's bytes. Raises FileNotFoundError."""
        return fetch(self.path(name), retries=self.retries)

    def read_ranges(self, ranges: list[Range]) -> list[bytes]:
        """The bytes of each range: one request a range, many at once where the file system is asynchronous (S3 is).

        Raises FileNotFoundError with the file's URL; StoreError where a file is shorter than its range.
        """
        fs, root = open_url(self.url)
        names, starts, stops = ([part[i] for part in ranges] for i in range(3))
        pieces = fs.cat_ranges([f"{root}/{name}" for name in names], starts, stops, on_error="return")
        # A range that failed, or is short, is requested alone: with retries, and an error that names it.
        return [
            piece
            if isinstance(piece, bytes) and len(piece) == stop - start
            else fetch(self.path(name), start, stop, self.retries)
            for (name, start, stop), piece in zip(ranges, pieces, strict=True)
        ]

    def path(self, name: str) -> str:
        """The URL of a file in it."""
        return f"{self.url.rstrip('/')}/{name}"

    def put_new(self, name: str, data: bytes | pa.Buffer) -> bool:
        """Puts a file unless one of that name is there. Returns whether it did.

        Local disk: a temporary file in the same folder, fsync, hard link. S3: `If-None-Match: *`. Another store is
        as exact as its fsspec file system's `pipe_file(mode="create")`.
        False may also mean that this very call put it: a put whose answer was lost is repeated, and finds its own file.
        """
        try:
            self._try(name, "written", lambda: self._put_new(name, data))
        except FileExistsError:
            return False
        except FileNotFoundError:  # an upload in parts that a lost answer had ended; or there is no such bucket
            if self.size(name) is None:
                raise
            return False
        return True

    def _put_new(self, name: str, data: bytes | pa.Buffer) -> None:
        fs, root = open_url(self.url)
        path = f"{root}/{name}"
        if isinstance(fs, LocalFileSystem):
            with open_whole(path, os.link) as file:
                file.write(data)
            return
        try:
            fs.pipe_file(path, _as_bytes(data), mode="create")
        except OSError as error:
            if get_error_code(error) in ("PreconditionFailed", "412"):  # s3fs looks for an element only AWS sends
                raise FileExistsError(path) from None
            raise

    def put(self, name: str, data: bytes | pa.Buffer) -> None:
        """Puts a file, in place of one that may be there."""
        self._try(name, "written", lambda: self._put(name, data))

    def _put(self, name: str, data: bytes | pa.Buffer) -> None:
        fs, root = open_url(self.url)
        path = f"{root}/{name}"
        if isinstance(fs, LocalFileSystem):
            with open_whole(path, os.replace) as file:
                file.write(data)
        else:
            fs.pipe_file(path, _as_bytes(data))

    def delete(self, names: list[str]) -> None:
        """Deletes files, some of which may be gone already."""
        fs, root = open_url(self.url)
        if isinstance(fs, S3FileSystem) and len(names) > 1:
            paths = [f"{root}/{name}" for name in names]
            self._try(names[0], "deleted", lambda: fs.rm(paths))  # a thousand a request
            # s3fs does not report the files that the store refused to delete.
            names = sorted(self.find_present(names, os.path.commonpath(names)))

        def remove(name: str) -> None:
            with suppress(FileNotFoundError):
                self._try(name, "deleted", partial(fs.rm_file, f"{root}/{name}"))

        if isinstance(fs, LocalFileSystem) or len(names) < MIN_PARALLEL_DELETES:
            for name in names:
                remove(name)
            return
        with ThreadPoolExecutor(DELETE_THREADS) as pool:
            for _ in pool.map(remove, names):
                pass

    def sweep_unfinished(self, folders: Collection[str]) -> None:
        """Deletes the temporary files of killed processes on a local disk, here and anywhere below some folders."""
        fs, root = open_url(self.url)
        if isinstance(fs, LocalFileSystem):
            delete_abandoned(root, folders, ABANDONED_SECONDS, self.retries)

    def _try(self, name: str, participle: str, call: Callable[[], Result]) -> Result:
        return call_with_retries(f"{self.path(name)}: cannot be {participle}", call, self.retries)


def _as_bytes(data: bytes | pa.Buffer) -> bytes:
    """For file systems that take nothing else. A local file is written without this copy."""
    return data if isinstance(data, bytes) else data.to_pybytes()


def check_writable(key: str, url: str) -> None:
    """Raises UsageError where nothing can be put into a folder. key: the user's name for it."""
    try:
        Folder(url).put_new(".rayrank", b"")  # the way in which everything is put that must not be lost
        Folder(url).delete([".rayrank"])
    except StoreError as error:
        if not isinstance(error, RefusedError) and not is_local(url):
            raise  # it may work again later, so the config is not wrong
        raise UsageError(f"{key} = {url!r}: cannot write there: {error}") from None
    except (FileNotFoundError, ValueError, ParamValidationError) as error:
        raise UsageError(f"{key} = {url!r}: cannot write there: {one_line(error)}") from None
