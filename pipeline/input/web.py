"""Web servers as stores: some send whole files alone."""

from collections.abc import Iterable
from urllib.parse import urlsplit

from pipeline.errors import UsageError
from pipeline.storage.urls import sends_ranges


def check_web_servers(files: Iterable[tuple[str, int]]) -> None:
    """Raises UsageError where a server sends the whole file when it is asked for a part. One request to each server.

    files: path and size.
    """
    web = [path for path, size in files if path.startswith(("http://", "https://")) and size > 8]
    for path in {urlsplit(path).netloc: path for path in web}.values():
        if not sends_ranges(path):
            raise UsageError(
                f"{path}: the server sends the whole file where a part is asked for (it ignores Range); copy the "
                "files to a disk, or to a store that sends parts"
            )
