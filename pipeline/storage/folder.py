"""Folders on any store that fsspec knows: local disk, S3, and the others.

Invariant: a file appears whole or not at all, and `put_new` never replaces one that is there. Nothing is renamed.
Credentials come from the environment or the machine's role. Listings are never cached, and as other stores' than S3's
own may lag behind, no listing alone says that a file is not there.
What a method does is tried again where that may help; StoreError, with the file's URL, says that it did not.
"""

import os
import re
import secrets
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from botocore.exceptions import ParamValidationError
from fsspec.implementations.local import LocalFileSystem
from s3fs import S3FileSystem

from pipeline.errors import RefusedError, StoreError, UsageError, one_line
from pipeline.storage.retry import code, patiently
from pipeline.storage.urls import fetch, is_local, open_url

UNFINISHED = re.compile(r"\.put-[0-9a-f]{16}")  # a put on a local disk that is under way, or was killed
DELETE_THREADS, FEW = 32, 4
UNFINISHED_SECONDS = 3600.0  # no put takes so long

Range = tuple[str, int, int]  # of a file: its name, first byte and last + 1


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
        options = {"prefix": prefix} if isinstance(fs, S3FileSystem) else {}
        what = f"{self.path(folder)}: cannot be listed"
        found = patiently(what, lambda: fs.find(start + folder, detail=True, **options))
        sizes = {path.removeprefix(start): info["size"] for path, info in found.items() if path.startswith(start)}
        wanted = f"{folder}/{prefix}" if folder else prefix
        return {name: size for name, size in sorted(sizes.items()) if name.startswith(wanted)}

    def size(self, name: str) -> int | None:
        """A file's size, from the file itself and no listing; None where it is not there."""
        fs, root = open_url(self.url)
        try:
            info = patiently(f"{self.path(name)}: cannot be looked up", lambda: fs.info(f"{root}/{name}"))
        except (FileNotFoundError, NotADirectoryError):
            return None
        return int(info["size"]) if info["type"] == "file" else None

    def sizes(self, names: Iterable[str], listed: Mapping[str, int]) -> dict[str, int]:
        """Name -> size of files that should all be there.

        Those that the listing does not show are asked for themselves. Raises FileNotFoundError with the first one's
        URL that is not there.
        """
        sizes = {}
        for name in names:
            size = listed[name] if name in listed else self.size(name)
            if size is None:
                raise FileNotFoundError(self.path(name))
            sizes[name] = size
        return sizes

    def present(self, names: list[str], prefix: str) -> set[str]:
        """Which of a few files, whose names start with `prefix`, are there: one request on S3.

        A file that was put just now may be left out where listings lag.
        """
        fs, root = open_url(self.url)
        if isinstance(fs, S3FileSystem):
            return set(self.files(prefix)) & set(names)
        return {name for name in names if fs.exists(f"{root}/{name}")}

    def read(self, name: str) -> bytes:
        """A file's bytes. Raises FileNotFoundError."""
        return fetch(self.path(name))

    def read_ranges(self, ranges: list[Range]) -> list[bytes]:
        """The bytes of each range: one request a range, many at once where the file system is asynchronous (S3 is).

        Raises FileNotFoundError with the file's URL; StoreError where a file is shorter than its range.
        """
        fs, root = open_url(self.url)
        names, starts, stops = ([part[i] for part in ranges] for i in range(3))
        pieces = fs.cat_ranges([f"{root}/{name}" for name in names], starts, stops, on_error="return")
        # What failed, or came short, is asked for alone: with patience, and an error that names it.
        return [
            piece if isinstance(piece, bytes) and len(piece) == stop - start else fetch(self.path(name), start, stop)
            for (name, start, stop), piece in zip(ranges, pieces, strict=True)
        ]

    def path(self, name: str) -> str:
        """The URL of a file in it."""
        return f"{self.url.rstrip('/')}/{name}"

    def put_new(self, name: str, data: bytes) -> bool:
        """Puts a file unless one of that name is there. Says whether it did.

        Local disk: a temporary file in the same folder, fsync, hard link. S3: `If-None-Match: *`. Another store is
        as exact as its fsspec file system's `pipe_file(mode="create")`.
        False may mean the file itself: where the answer to a put was lost, its repetition finds it there.
        """
        try:
            patiently(f"{self.path(name)}: cannot be written", lambda: self._put_new(name, data))
        except FileExistsError:
            return False
        except FileNotFoundError:  # of an upload in parts that a lost answer had ended; or there is no such bucket
            if self.size(name) is None:
                raise
            return False
        return True

    def _put_new(self, name: str, data: bytes) -> None:
        fs, root = open_url(self.url)
        path = f"{root}/{name}"
        if isinstance(fs, LocalFileSystem):
            return _write_local(path, data, os.link)
        try:
            fs.pipe_file(path, data, mode="create")
        except OSError as error:
            if code(error) in ("PreconditionFailed", "412"):  # s3fs knows it only with AWS's further words
                raise FileExistsError(path) from None
            raise

    def put(self, name: str, data: bytes) -> None:
        """Puts a file in place of one that may be there."""
        fs, root = open_url(self.url)
        path = f"{root}/{name}"

        def put() -> None:
            if isinstance(fs, LocalFileSystem):
                _write_local(path, data, os.replace)
            else:
                fs.pipe_file(path, data)

        patiently(f"{self.path(name)}: cannot be written", put)

    def delete(self, names: list[str]) -> None:
        """Deletes files; one that is gone already is fine."""
        fs, root = open_url(self.url)
        if isinstance(fs, S3FileSystem) and len(names) > 1:
            paths = [f"{root}/{name}" for name in names]
            patiently(f"{self.path(names[0])}: cannot be deleted", lambda: fs.rm(paths))  # a thousand a request
            names = sorted(self.present(names, os.path.commonpath(names)))  # those that the store refused, unsaid

        def remove(name: str) -> None:
            with suppress(FileNotFoundError):
                patiently(f"{self.path(name)}: cannot be deleted", partial(fs.rm_file, f"{root}/{name}"))

        if isinstance(fs, LocalFileSystem) or len(names) < FEW:  # the end of a process waits for threads of a pool
            for name in names:
                remove(name)
            return
        with ThreadPoolExecutor(DELETE_THREADS) as pool:
            for _ in pool.map(remove, names):
                pass

    def sweep_unfinished(self, folders: Collection[str]) -> None:
        """Deletes what killed processes left of their puts on a local disk, here and anywhere below some folders.

        What is not UNFINISHED_SECONDS old may be a living process's.
        """
        fs, root = open_url(self.url)
        if not isinstance(fs, LocalFileSystem):
            return
        below = (path for folder in folders for path, _, _ in os.walk(f"{root}/{folder}"))
        for folder in [root, *below]:
            for entry in os.scandir(folder):
                with suppress(FileNotFoundError):  # its put has ended
                    if UNFINISHED.fullmatch(entry.name) and time.time() - entry.stat().st_mtime > UNFINISHED_SECONDS:
                        patiently(f"{entry.path}: cannot be deleted", partial(os.unlink, entry.path))


def check_writable(key: str, url: str) -> None:
    """Raises UsageError, under the user's name for it, where nothing can be put into a folder."""
    try:
        Folder(url).put_new(".rayrank", b"")  # as everything that must not be lost is put
        Folder(url).delete([".rayrank"])
    except StoreError as error:
        if not isinstance(error, RefusedError) and not is_local(url):
            raise  # it may be well again later: not the config's fault
        raise UsageError(f"{key} = {url!r}: cannot write there: {error}") from None
    except (FileNotFoundError, ValueError, ParamValidationError) as error:
        raise UsageError(f"{key} = {url!r}: cannot write there: {one_line(error)}") from None


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


@contextmanager
def writing(url: str) -> Iterator[Any]:
    """A file to write bytes to, of any length. It appears whole when the block ends, and not at all on an error.

    Local disk: a temporary file in the same folder, fsync, rename. S3: a multipart upload. Another store is as exact as
    its fsspec file system's `open(autocommit=False)` (memory is not).
    """
    fs, path = open_url(url)
    if isinstance(fs, LocalFileSystem):
        folder = os.path.dirname(path)
        os.makedirs(folder, exist_ok=True)
        temporary = f"{folder}/.put-{secrets.token_hex(8)}"
        try:
            with open(temporary, "xb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        finally:
            with suppress(FileNotFoundError):  # os.replace has moved it away
                os.unlink(temporary)
        return
    file = fs.open(path, "wb", autocommit=False)
    try:
        yield file
    except BaseException:
        file.close()  # else it would be when it is collected, and put what was discarded
        file.discard()
        raise
    file.close()
    file.commit()
