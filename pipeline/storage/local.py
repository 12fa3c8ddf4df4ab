"""Files on a local disk that appear whole or not at all: a temporary file in the same folder, fsync, then the name."""

import os
import re
import secrets
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import BinaryIO

from pipeline.storage.retry import RETRIES, Retries, call_with_retries

TEMPORARY_NAME = re.compile(r"\.put-[0-9a-f]{16}")  # a write that is under way, or whose process was killed
ABANDONED_SECONDS = 3600.0  # no write takes this long


@contextmanager
def open_whole(path: str, give_name: Callable[[str, str], None]) -> Iterator[BinaryIO]:
    """A file to write, which appears when the block ends, and not at all on an error.

    give_name: os.replace, or os.link, which raises FileExistsError where a file of that name is there.
    """
    folder = os.path.dirname(path)
    os.makedirs(folder, exist_ok=True)
    temporary = f"{folder}/.put-{secrets.token_hex(8)}"
    # Not tempfile: its files are for their owner alone, and only the kernel can apply the umask safely in a thread.
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        give_name(temporary, path)
    finally:
        with suppress(FileNotFoundError):  # os.replace has moved it away
            os.unlink(temporary)


def list_files(folder: str) -> Iterator[os.DirEntry[str]]:
    """Every file below a folder; none where there is no such folder.

    fsspec's `find` takes five times as long, and leaves out, without a word, a folder that may not be read.
    """
    try:
        entries = os.scandir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return
    for entry in entries:
        if entry.is_dir():
            yield from list_files(entry.path)
        else:
            yield entry


def measure_files(folder: str) -> Iterator[tuple[str, int]]:
    """The path and the size of every file below a folder. To ask for the sizes takes ten times as long as the names."""
    for entry in list_files(folder):
        with suppress(FileNotFoundError):  # deleted meanwhile
            yield entry.path, entry.stat().st_size


def delete_abandoned(
    root: str, folders: Collection[str], seconds: float = ABANDONED_SECONDS, retries: Retries = RETRIES
) -> None:
    """Deletes the temporary files of killed processes in a folder, and anywhere below some of its folders.

    seconds: age below which a file may be a living process's.
    """
    below = (path for folder in folders for path, _, _ in os.walk(f"{root}/{folder}"))
    for folder in [root, *below]:
        for entry in os.scandir(folder):
            with suppress(FileNotFoundError):  # its write has ended
                if TEMPORARY_NAME.fullmatch(entry.name) and time.time() - entry.stat().st_mtime > seconds:
                    call_with_retries(f"{entry.path}: cannot be deleted", partial(os.unlink, entry.path), retries)
