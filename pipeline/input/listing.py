"""`input.path` -> the files that it matches, with size and version, in a fixed order. No request per file."""

import errno
import os
import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from botocore.exceptions import ParamValidationError
from fsspec.implementations.local import LocalFileSystem

from pipeline.errors import NotHere, RunError, UsageError, one_line
from pipeline.storage.retry import STORE_ERRORS, is_expired, make_store_error
from pipeline.storage.urls import build_url, is_local, open_url

PARQUET_ENDINGS = (".parquet",)
UNFINISHED_MARK = "_unfinished"  # a file in the output of jobs/prepare.py until it is complete
GLOB_SYNTAX = re.compile(r"[*?[]")


@dataclass(frozen=True)
class InputFile:
    """version: the store's etag, or the time of the last change; empty where the store has neither."""

    path: str
    size: int
    version: str


def list_inputs(
    paths: list[str], key: str = "input.path", endings: tuple[str, ...] = PARQUET_ENDINGS
) -> list[InputFile]:
    """All files of the given files, directories and globs: in the order of `paths`, each one's files by name.

    key: the user's name for the paths. endings: of the files that are taken from a directory, at any depth.
    Files and folders whose names start with `_` or `.` are skipped, unless the path itself names them. A file named
    twice counts once.
    Raises UsageError for a path that is not there, cannot be read, or holds no such file, and StoreError where the
    store does not answer.
    """
    files: dict[str, InputFile] = {}
    for path in paths:
        try:
            found = _list_path(path, endings)
        except (FileNotFoundError, NotADirectoryError):
            kind = NotHere if is_local(path) else UsageError
            raise kind(f"{key} = {path!r}: no such file or directory") from None
        except (ValueError, ImportError, ParamValidationError) as error:
            raise UsageError(f"{key} = {path!r}: {one_line(error)}") from None
        except STORE_ERRORS as error:
            raise _explain_listing_error(f"{key} = {path!r}", error) from None
        if not found:
            what = "Parquet file" if endings == PARQUET_ENDINGS else f"file with a name in {', '.join(endings)}"
            raise UsageError(f"{key} = {path!r}: no {what} there")
        files |= {file.path: file for file in found}
    return list(files.values())


def look_up_file(path: str) -> InputFile | None:
    """A file by its one full name, which may have the syntax of globs; None where it is gone, or may not be seen.

    Raises StoreError where the store does not answer.
    """
    try:
        fs, name = open_url(path)
        info = fs.info(name)
        return None if info["type"] == "directory" else _make_file(fs, name, info)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except STORE_ERRORS as error:
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


def _list_path(path: str, endings: tuple[str, ...]) -> list[InputFile]:
    fs, root = open_url(path)
    if GLOB_SYNTAX.search(root) and not (isinstance(fs, LocalFileSystem) and fs.exists(root)):
        matches = _glob(fs, root)
        for folder in {name.rpartition("/")[0] for name in matches}:
            if fs.exists(f"{folder}/{UNFINISHED_MARK}"):
                raise _make_unfinished_error(fs, folder)
    elif root.endswith(".parquet"):
        matches = {root: fs.info(root)}
    else:
        return _list_folder(fs, root, endings, missing_is_error=True)
    files = []
    for name, listed in sorted(matches.items()):
        info = _follow_link(fs, name, listed)
        files += _list_folder(fs, name, endings) if info["type"] == "directory" else [_make_file(fs, name, info)]
    return sorted(files, key=lambda file: file.path)


def _glob(fs: Any, pattern: str) -> dict[str, dict[str, Any]]:
    """The matches of a glob. Raises PermissionError where it leads into a local folder that may not be read, which
    fsspec would skip."""
    parent = pattern.rpartition("/")[0]
    if isinstance(fs, LocalFileSystem) and GLOB_SYNTAX.search(parent):
        _check_readable(_glob(fs, parent))
    return {name: info for name, info in fs.glob(pattern, detail=True).items() if not _is_hidden_match(name, pattern)}


def _list_files(fs: Any, root: str) -> dict[str, dict[str, Any]]:
    """All files below a folder, and the file itself where it is one. Raises PermissionError as `_glob` does."""
    if not isinstance(fs, LocalFileSystem):
        return fs.find(root, detail=True)
    found = fs.find(root, detail=True, withdirs=True)
    _check_readable({name: info for name, info in found.items() if not _is_hidden(name.removeprefix(root))})
    return {name: info for name, info in found.items() if info["type"] != "directory"}


def _check_readable(found: dict[str, dict[str, Any]]) -> None:
    for name, info in found.items():
        if info["type"] == "directory":
            os.scandir(name).close()


def _is_hidden_match(name: str, pattern: str) -> bool:
    """Whether a match of a glob is hidden, and the pattern itself has no hidden part."""
    fixed = GLOB_SYNTAX.split(pattern)[0].rpartition("/")[0] + "/"
    return _is_hidden(name.removeprefix(fixed)) and not _is_hidden(pattern.removeprefix(fixed))


def _is_hidden(path: str) -> bool:
    return any(part.startswith(("_", ".")) for part in path.split("/"))


def _list_folder(fs: Any, root: str, endings: tuple[str, ...], missing_is_error: bool = False) -> list[InputFile]:
    found = _list_files(fs, root)
    if f"{root}/_SUCCESS" in found and any(name.startswith(f"{root}/ranked/") for name in found):
        raise UsageError(f"{build_url(fs, root)}: is a run's output; its result is {build_url(fs, root)}/ranked")
    for name in found:
        if name.endswith(f"/{UNFINISHED_MARK}"):
            raise _make_unfinished_error(fs, name.removesuffix(f"/{UNFINISHED_MARK}"))
    if root in found:  # a file whose name does not end in .parquet
        return [_make_file(fs, root, found[root])]
    if not found and missing_is_error:
        fs.info(root)  # raises FileNotFoundError, or PermissionError, where that is why nothing was found
        if hasattr(fs, "ls"):
            fs.ls(root)
    files = []
    for name, listed in sorted(found.items()):
        if _is_hidden(name.removeprefix(root.rstrip("/") + "/")):
            continue
        wanted = name.lower().endswith(endings)
        info = _follow_link(fs, name, listed) if wanted or _links_to_folder(name, listed) else listed
        if info["type"] == "directory":  # there may be loops of such links
            raise UsageError(
                f"{build_url(fs, name)}: a link to a folder, which is not followed; give it in input.path, too"
            )
        if wanted:
            files.append(_make_file(fs, name, info))
    return files


def _make_unfinished_error(fs: Any, folder: str) -> UsageError:
    return UsageError(f"{build_url(fs, folder)}: jobs/prepare.py has not finished it; start it again")


def _links_to_folder(name: str, listed: dict[str, Any]) -> bool:
    return bool(listed.get("islink")) and os.path.isdir(name)


def _follow_link(fs: Any, name: str, listed: dict[str, Any]) -> dict[str, Any]:
    """The store's facts about a listed file, and about its target where it is a link."""
    if not listed.get("islink"):
        return listed
    try:
        return fs.info(name)
    except OSError as error:
        raise UsageError(f"{build_url(fs, name)}: a link that leads to no file ({error.strerror})") from None


def _make_file(fs: Any, name: str, info: dict[str, Any]) -> InputFile:
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
    return InputFile(path, int(info["size"]), str(version).strip('"'))
