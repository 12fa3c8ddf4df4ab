"""Columns in the names of folders, as Hive and Spark write partitions: `dt=2026-01-05/lang=de/part-0.parquet`."""

from collections.abc import Iterator
from dataclasses import replace
from urllib.parse import unquote

from pipeline.config import Config
from pipeline.input.columns import list_named
from pipeline.input.listing import InputFile
from pipeline.input.shown import Shown

NULL = "__HIVE_DEFAULT_PARTITION__"


def add_folder_columns(config: Config, files: list[InputFile]) -> list[InputFile]:
    """The files with the columns that the config names and that are folders in the path of every file: texts, which
    count where a file does not have the column itself. Files of a table stay as they are."""
    named = {*list_named(config)}
    found = [{name: value for name, value in _list_folders(file.path) if name in named} for file in files]
    everywhere = set.intersection(*map(set, found)) if found else set()
    if not everywhere or any(file.shown and file.shown.of_table for file in files):
        return files
    constants = ({name: values[name] for name in sorted(everywhere)} for values in found)
    return [replace(file, shown=Shown(constants=own)) for file, own in zip(files, constants, strict=True)]


def _list_folders(path: str) -> Iterator[tuple[str, str | None]]:
    """Name and value of each such folder, from the outside in."""
    if "=" in path:
        for folder in path.split("/")[:-1]:
            name, equals, value = folder.partition("=")
            if equals and name:
                yield unquote(name), None if value == NULL else unquote(value)
