"""Folders whose list of files is not their truth: a log in them says which files, and which of their rows, live."""

import re
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from fsspec.implementations.http import HTTPFileSystem

from pipeline.errors import UsageError
from pipeline.storage.urls import build_url

FORMATS = {  # what lies in such a folder -> what the folder is
    "_delta_log": "a Delta table",
    "metadata": "an Iceberg table",  # if it holds *.metadata.json
    ".hoodie": "a Hudi table",
    "_spark_metadata": "what a Spark stream has written",
}
MARK_WORD = re.compile("|".join(map(re.escape, FORMATS)))
MARK = re.compile(rf"(.*)/({'|'.join(map(re.escape, FORMATS))})(/.*)?")
THREADS = 16
KEYS = {  # the keys that read such a table
    "_delta_log": "{{format: delta, path: {url}}}",
    "metadata": "{{format: iceberg, catalog: ..., name: ...}}",
}
ICEBERG = re.compile(r"/[^/]*\.metadata\.json(\.gz)?")


def refuse_tables(fs: Any, found: Iterable[str], read: Iterable[str]) -> None:
    """Raises UsageError where one of the files to read lies in a table. found: names that a listing of them shows."""
    tables = {at for name in found if MARK_WORD.search(name) and (at := _find_table(fs, name))}
    names = [*read] if tables else []
    for table, mark in sorted(tables):
        if any(name.startswith(f"{table}/") for name in names):
            raise _make_error(fs, table, mark)


def refuse_tables_above(fs: Any, folder: str) -> None:
    """Raises UsageError where a folder lies in a table. One request for each mark and each folder above."""
    if isinstance(fs, HTTPFileSystem):  # it knows no folders
        return
    above = [folder[:at] for at, char in enumerate(folder) if char == "/" and at]
    marks = [f"{place}/{mark}" for place in above for mark in FORMATS]
    with ThreadPoolExecutor(THREADS) as pool:
        there = pool.map(lambda name: name if _is_folder(fs, name) else None, marks)
    for name in filter(None, there):
        if table := _find_table(fs, name):
            raise _make_error(fs, *table)


def _find_table(fs: Any, name: str) -> tuple[str, str] | None:
    """The table that a name is the mark of, or lies in the mark of, and that mark."""
    if not (found := MARK.fullmatch(name)):
        return None
    table, mark, below = found.groups()
    if mark == "metadata" and not (ICEBERG.fullmatch(below) if below else fs.glob(f"{name}/*.metadata.json*")):
        return None
    return table, mark


def _is_folder(fs: Any, name: str) -> bool:
    with suppress(FileNotFoundError, NotADirectoryError, PermissionError):  # a role may see its own folder alone
        return bool(fs.isdir(name))
    return False


def _make_error(fs: Any, table: str, mark: str) -> UsageError:
    url = build_url(fs, table)
    read = f"Give it as input.table: {KEYS[mark].format(url=url)} (docs/input.md), or give" if mark in KEYS else "Give"
    return UsageError(
        f"{url}: is {FORMATS[mark]}, and {mark}/ says which of its files and rows hold: all files together have "
        f"deleted and replaced rows, too. {read} a folder to which its rows were written as plain Parquet"
    )
