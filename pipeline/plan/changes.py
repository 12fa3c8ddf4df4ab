"""The files that came to an input, changed or went since the standing result was made."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

from pipeline.config import Config
from pipeline.errors import RunError, UsageError, say
from pipeline.input.hive import add_folder_columns
from pipeline.input.listing import InputFile, list_inputs
from pipeline.input.names import would_list
from pipeline.input.result import find_unnamed_parts
from pipeline.input.table import locate_files
from pipeline.input.versions import THREADS, add_footer_hashes, look_up
from pipeline.storage.urls import make_absolute


class Changes(NamedTuple):
    """Paths of files."""

    came: list[str]
    changed: list[str]
    gone: list[str]

    def __str__(self) -> str:
        counts = zip((len(paths) for paths in self), ("came", "changed", "went"), strict=True)
        first = next(paths[0] for paths in self if paths)
        return f"{', '.join(f'{count:,} {what}' for count, what in counts)} ({first} first)"


def find_changes(
    config: Config, files: list[InputFile], standing: dict[str, Any] | None
) -> tuple[list[InputFile], Changes]:
    """The files of the input, and what differs from the files of the standing result (its manifest).

    A file that the listing does not show is looked up by itself, for listings lag behind. Raises UsageError where one
    is gone, unless run.on_gone is `drop`. A table says itself which files it has: those that it does not name any more
    went as they should.
    """
    before = {file["path"]: (file["size"], file.get("version")) for file in standing["input"]} if standing else {}
    listed = {file.path: file for file in files}
    unlisted = [path for path in sorted(before.keys() - listed.keys()) if _find_place(config, path) is not None]
    with ThreadPoolExecutor(THREADS) as pool:
        found = {file.path: file for file in pool.map(look_up, unlisted) if file}
    unnamed = find_unnamed_parts("", found)
    listed |= {path: file for path, file in found.items() if path not in unnamed}
    if len(listed) > len(files):
        end = len(config.input.path)
        places = {path: end if (place := _find_place(config, path)) is None else place for path in listed}
        files = sorted(listed.values(), key=lambda file: (places[file.path], file.path))
        files = add_folder_columns(config, files)
    changes = Changes(
        came=[path for path in listed if path not in before] if before else [],
        changed=[
            path
            for path, file in listed.items()
            if before.get(path, (file.size, file.version)) != (file.size, file.version)
        ],
        gone=sorted(before.keys() - listed.keys()),
    )
    if changes.gone and config.run.on_gone == "refuse" and not config.input.table:
        raise UsageError(
            f"{changes.gone[0]}: is gone from the input, and rows of it are in the result that stands "
            f"({len(changes.gone)} such files); run.on_gone=drop makes a result without them, or choose another "
            "output.path"
        )
    return files, changes


def check_same_files(config: Config, files: list[InputFile]) -> None:
    """Raises RunError where a file of the input changed while it was read. Files that came meanwhile do not belong to
    this run; a line says that there are some."""
    if config.input.table:  # of a pinned version, whose files are known
        found = locate_files(config.input.table, [file.path for file in files])
    else:
        found = list_inputs(config.input.path)
    now = {file.path: file for file in add_footer_hashes(found)}
    if new := [path for path in now if path not in {file.path for file in files}]:
        say(f"{len(new)} files came while the run went on, and are not in its result: {new[0]} first")
    if changed := [file.path for file in files if now.get(file.path, file) != file]:
        raise RunError(
            f"{changed[0]}: has changed while the run read it ({len(changed)} such files); the same command scores "
            "their rows as they are now"
        )


def _find_place(config: Config, path: str) -> int | None:
    """The index of the first of the input's paths whose listing would show a file; None where there is none."""
    given = map(make_absolute, config.input.path)
    return next((place for place, one in enumerate(given) if would_list(one, path)), None)
