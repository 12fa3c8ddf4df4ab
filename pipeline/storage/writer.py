"""One file of any length, written piece by piece, that appears whole or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from fsspec.implementations.local import LocalFileSystem

from pipeline.errors import UsageError
from pipeline.storage.local import open_whole
from pipeline.storage.urls import open_url

COMPRESSED = (".gz", ".bz2", ".xz", ".zst")


@contextmanager
def open_writer(url: str) -> Iterator[Any]:
    """A file to write bytes to. It appears when the block ends, in place of one that is there, and not on an error.

    Local disk: a temporary file in the same folder, fsync, rename. S3: a multipart upload. Another store is as exact as
    its fsspec file system's `open(autocommit=False)` (memory is not). Raises UsageError for a name that says it is
    compressed, which it would not be.
    """
    if ending := next((ending for ending in COMPRESSED if url.lower().endswith(ending)), None):
        raise UsageError(f"{url}: is written as plain text; give it a name without {ending}")
    fs, path = open_url(url)
    if isinstance(fs, LocalFileSystem):
        with open_whole(path, os.replace) as local:
            yield local
        return
    file = fs.open(path, "wb", autocommit=False)
    try:
        yield file
    except BaseException:
        file.close()  # otherwise the garbage collector closes it, and puts what was discarded
        file.discard()
        raise
    file.close()
    file.commit()
