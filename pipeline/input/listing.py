"""`input.path` -> the files that it matches, with size and version, in a fixed order. No request per file."""

import errno
import os
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from botocore.exceptions import ParamValidationError

from pipeline.errors import NotHere, RunError, UsageError, one_line
from pipeline.input.lakes import refuse_tables, refuse_tables_above
from pipeline.input.names import (
    describe_passed_over,
    find_files,
    find_names,
    find_reading_glob,
    get_fixed_folder,
    is_glob,
    is_hidden,
    select_matches,
)
from pipeline.input.result import find_unnamed_parts
from pipeline.input.shown import Shown
from pipeline.storage.retry import is_expired, list_store_errors, make_store_error
from pipeline.storage.urls import build_url, is_local, make_absolute, open_url

PARQUET_ENDINGS = (".parquet",)
UNFINISHED_MARK = "_unfinished"  # a file in the output of jobs/prepare.py until it is complete


@dataclass(frozen=True)
class InputFile:
    """version: the store's etag, or the time of the last change; empty where the store has neither. shown: what a
    table, or the names of folders, say of it beyond that."""

    path: str
    size: int
    version: str
    shown: Shown | None = field(default=None, compare=False)

    @property
    def deleted_rows(self) -> int:
        """How many of its rows are deleted from its table."""
        return self.shown.deleted_rows if self.shown else 0


class Listing(NamedTuple):
    """passed_over: glob -> how many files are not read for their names, and would be by this glob; or the manifest of a
    result -> how many parts it does not name."""

    files: list[InputFile]
    passed_over: Counter[str]


def list_inputs(
    paths: list[str], key: str = "input.path", endings: tuple[str, ...] = PARQUET_ENDINGS
) -> list[InputFile]:
    """The files of `read_listing`."""
    return read_listing(paths, key, endings).files


def read_listing(paths: list[str], key: str = "input.path", endings: tuple[str, ...] = PARQUET_ENDINGS) -> Listing:
    """All files of the given files, directories and globs: in the order of `paths`, each one's files by name.

    key: the user's name for the paths. endings: of the files that are taken from a directory, at any depth.
    Files and folders whose names start with `_` or `.` are passed over, unless the path itself names them. A file named
    twice counts once.
    Raises UsageError for a path that is not there, cannot be read, holds no such file, or is a table whose list of
    files is not its truth; and StoreError where the store does not answer.
    """
    files: dict[str, InputFile] = {}
    passed_over: dict[str, str] = {}  # path -> the glob that reads it
    for path in paths:
        try:
            found, left = _list_path(path, endings)
        except (FileNotFoundError, NotADirectoryError):
            kind = NotHere if is_local(path) else UsageError
            raise kind(f"{key} = {path!r}: no such file or directory") from None
        except (ValueError, ImportError, ParamValidationError) as error:
            raise UsageError(f"{key} = {path!r}: {one_line(error)}") from None
        except list_store_errors() as error:
            raise _explain_listing_error(f"{key} = {path!r}", error) from None
        if not found:
            what = "Parquet file" if endings == PARQUET_ENDINGS else f"file with a name in {', '.join(endings)}"
            but = f"; {describe_passed_over(Counter(left.values()))}" if left else ""
            raise UsageError(f"{key} = {path!r}: no {what} there{but}")
        unnamed = find_unnamed_parts(make_absolute(path), (file.path for file in found))
        files |= {file.path: file for file in found if file.path not in unnamed}
        passed_over |= left | unnamed
    return Listing(list(files.values()), Counter(glob for path, glob in passed_over.items() if path not in files))


def look_up_file(path: str) -> InputFile | None:
    """A file by its one full name, which may have the syntax of globs; None where it is gone, or may not be seen.

    Raises StoreError where the store does not answer.
    """
    try:
        fs, name = open_url(path)
        info = fs.info(name)
        return None if info["type"] == "directory" else make_file(fs, name, info)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except list_store_errors() as error:
        found = _explain_listing_error(path, error)
        if isinstance(found, UsageError):
            return None
        raise found from None


def _explain_listing_error(subject: str, error: BaseException) -> RunError:
    """The error of a path that cannot be listed: the user's where a permission is missing, else the store's."""
    if getattr(error, "errno", None) == errno.ELOOP:
        return UsageError(f"{subject}: a link that leads to itself")
    place = getattr(error, "filename", None)  # on a local disk; it may lie below the path
    found = make_store_error(f"{subject}: cannot be listed" + (f" at {place}" if isinstance(place, str) else ""), error)
    return UsageError(str(found)) if isinstance(error, PermissionError) and not is_expired(error) else found


def _list_path(path: str, endings: tuple[str, ...]) -> tuple[list[InputFile], dict[str, str]]:
    """The files of one path; and those that are passed over, each with the glob that reads it."""
    fs, root = open_url(path)
    passed_over: dict[str, str] = {}
    if is_glob(fs, root):
        files = _list_glob(fs, root, endings, passed_over)
        refuse_tables_above(fs, get_fixed_folder(fs, root))
    elif root.endswith(".parquet") and (info := follow_link(fs, root, fs.info(root)))["type"] != "directory":
        files = [make_file(fs, root, info)]
    else:
        files = _list_folder(fs, root, endings, passed_over, missing_is_error=True)
        if [file.path for file in files] != [build_url(fs, root)]:  # a file may be given that a table's log names
            refuse_tables_above(fs, root)
    return sorted(files, key=lambda file: file.path), passed_over


def _list_glob(fs: Any, pattern: str, endings: tuple[str, ...], passed_over: dict[str, str]) -> list[InputFile]:
    names, fixed = find_names(fs, pattern), get_fixed_folder(fs, pattern)
    hidden_too = is_hidden(pattern.removeprefix(f"{fixed}/"))
    files: list[InputFile] = []
    for name, listed in sorted(select_matches(names, pattern).items()):
        folder = name.rpartition("/")[0]
        if not hidden_too and is_hidden(name.removeprefix(f"{fixed}/")):
            _pass_over(fs, fixed, name, listed, passed_over)
        elif f"{folder}/{UNFINISHED_MARK}" in names:
            raise _make_unfinished_error(fs, folder)
        elif (info := follow_link(fs, name, listed))["type"] == "directory":
            files += _list_folder(fs, name, endings, passed_over)
        else:
            files.append(make_file(fs, name, info))
    refuse_tables(fs, names, (open_url(file.path)[1] for file in files))
    return files


def _list_folder(
    fs: Any, root: str, endings: tuple[str, ...], passed_over: dict[str, str], missing_is_error: bool = False
) -> list[InputFile]:
    found = find_files(fs, root)
    if f"{root}/_SUCCESS" in found and any(name.startswith(f"{root}/ranked/") for name in found):
        raise UsageError(f"{build_url(fs, root)}: is a run's output; its result is {build_url(fs, root)}/ranked")
    for name in found:
        if name.endswith(f"/{UNFINISHED_MARK}"):
            raise _make_unfinished_error(fs, name.removesuffix(f"/{UNFINISHED_MARK}"))
    if root in found:  # a file whose name does not end in .parquet
        return [make_file(fs, root, found[root])]
    if not found and missing_is_error:
        fs.info(root)  # raises FileNotFoundError, or PermissionError, where that is why nothing was found
        if hasattr(fs, "ls"):
            fs.ls(root)
    files: dict[str, InputFile] = {}
    above = root.rstrip("/") + "/"
    for name, listed in sorted(found.items()):
        hidden = is_hidden(name.removeprefix(above))
        wanted = not hidden and name.lower().endswith(endings)
        info = follow_link(fs, name, listed) if wanted or (not hidden and _links_to_folder(name, listed)) else listed
        if wanted and info["type"] != "directory":
            files[name] = make_file(fs, name, info)
        elif not hidden and info["type"] == "directory":  # there may be loops of such links
            raise UsageError(
                f"{build_url(fs, name)}: a link to a folder, which is not followed; give it in input.path, too"
            )
        else:
            _pass_over(fs, root, name, info, passed_over)
    refuse_tables(fs, found, files.keys())
    return [*files.values()]


def _pass_over(fs: Any, root: str, name: str, listed: dict[str, Any], passed_over: dict[str, str]) -> None:
    """Notes the glob below `root` that reads a file which is passed over."""
    if glob := find_reading_glob(fs, root, name, listed):
        passed_over[build_url(fs, name)] = glob


def _make_unfinished_error(fs: Any, folder: str) -> UsageError:
    return UsageError(f"{build_url(fs, folder)}: jobs/prepare.py has not finished it; start it again")


def _links_to_folder(name: str, listed: dict[str, Any]) -> bool:
    return bool(listed.get("islink")) and os.path.isdir(name)


def follow_link(fs: Any, name: str, listed: dict[str, Any]) -> dict[str, Any]:
    """The store's facts about a listed file, and about its target where it is a link."""
    if not listed.get("islink"):
        return listed
    try:
        return fs.info(name)
    except OSError as error:
        raise UsageError(f"{build_url(fs, name)}: a link that leads to no file ({error.strerror})") from None


def make_file(fs: Any, name: str, info: dict[str, Any]) -> InputFile:
    """The file of this name, given what the store says of it. Raises UsageError where no file can be opened by it."""
    path = build_url(fs, name)
    try:
        path.encode()
        same = build_url(*open_url(path)) == path
    except (UnicodeError, TypeError, ValueError):
        same = False
    if not same:
        raise UsageError(f"{path!r}: no file can be opened by this name; rename it (it has `::`, or is not UTF-8)")
    keys = ("ETag", "etag", "mtime", "LastModified", "created")
    version = next((info[key] for key in keys if info.get(key) not in (None, "")), "")
    if isinstance(version, datetime):  # some stores give one time in two forms, depending on the kind of request
        version = version.timestamp()
    if info.get("size") is None:
        raise UsageError(f"{path}: the server does not say how large it is; copy it to a disk, or to a store that does")
    return InputFile(path, int(info["size"]), str(version).strip('"'))
