"""Where the files of a table lie, and their sizes and versions, as a listing of a plain folder gives them."""

import os
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from pipeline.errors import UsageError
from pipeline.input.listing import InputFile, follow_link, look_up_file, make_file
from pipeline.input.names import find_files
from pipeline.input.shown import Shown
from pipeline.storage.retry import list_store_errors, make_store_error
from pipeline.storage.urls import build_url, make_absolute, open_url

THREADS = 32


def locate(root: str | None, shown: dict[str, Shown] | dict[str, None]) -> dict[str, InputFile]:
    """The files of these paths that are there. One listing below `root` finds those that lie there; others, or all
    without it, take a request each. Raises StoreError where the store does not answer."""
    found = _list_below(root, shown.keys()) if root is not None else {}
    with ThreadPoolExecutor(THREADS) as pool:
        others = pool.map(look_up_file, (path for path in shown if path not in found))
        found |= {file.path: file for file in others if file}
    return {path: replace(found[path], shown=shown[path]) for path in shown if path in found}


def _list_below(root: str, paths: Collection[str]) -> dict[str, InputFile]:
    fs, folder = open_url(root)
    try:
        listed = find_files(fs, folder)
        wanted = {url: name for name in listed if (url := build_url(fs, name)) in paths}
        return {url: make_file(fs, name, follow_link(fs, name, listed[name])) for url, name in wanted.items()}
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except list_store_errors() as error:
        raise make_store_error(f"{root}: cannot be listed", error) from None


def find_path(uri: str, root: str | None = None) -> str:
    """The one path of a file under which its table names it: a URL, an absolute path, or one below `root`."""
    if uri.startswith("file:"):
        uri = "/" + uri.removeprefix("file:").lstrip("/")
    if root is not None and "://" not in uri and not os.path.isabs(uri):
        uri = f"{root.rstrip('/')}/{uri}"
    try:
        return make_absolute(uri)
    except (ValueError, ImportError) as error:
        raise UsageError(f"input.table: {uri}: {error}") from None
