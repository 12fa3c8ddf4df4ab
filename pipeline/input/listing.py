"""`input.path` -> the files it means, with size and version, in a fixed order. No request per file."""

import errno
import os
import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from botocore.exceptions import ParamValidationError
from fsspec.implementations.local import LocalFileSystem

from pipeline.errors import NotHere, UsageError, one_line
from pipeline.storage.retry import FAILURES, expired, failure
from pipeline.storage.urls import full_name, is_local, open_url

PARQUET = (".parquet",)
UNFINISHED = "_unfinished"  # jobs/prepare.py has it in its output until all is there
GLOB = re.compile(r"[*?[]")


@dataclass(frozen=True)
class InputFile:
    """version: the store's etag, or the time of the last change; empty where the store tells neither."""

    path: str
    size: int
    version: str


def list_inputs(paths: list[str], key: str = "input.path", endings: tuple[str, ...] = PARQUET) -> list[InputFile]:
    """All files of the given files, directories and globs: in the order of `paths`, each one's files by name.

    key: what the user calls them. endings: of a directory, and of a directory that a glob matches, these are the files
    below it that end in one of them.
    Names that start with `_` or `.` are passed over, and so is what lies below them, unless the path itself has them.
    A file named twice counts once.
    Raises UsageError for a path that is not there, cannot be read, or holds no such file, and StoreError where the
    store does not answer.
    """
    files: dict[str, InputFile] = {}
    for path in paths:
        try:
            found = _expand(path, endings)
        except (FileNotFoundError, NotADirectoryError):
            kind = NotHere if is_local(path) else UsageError
            raise kind(f"{key} = {path!r}: no such file or directory") from None
        except (ValueError, ImportError, ParamValidationError) as error:
            raise UsageError(f"{key} = {path!r}: {one_line(error)}") from None
        except FAILURES as error:
            if getattr(error, "errno", None) == errno.ELOOP:
                raise UsageError(f"{key} = {path!r}: a link that leads to itself") from None
            at = getattr(error, "filename", None)  # of a local disk, and maybe below the path
            why = failure(f"{key} = {path!r}: cannot be listed" + (f" at {at}" if isinstance(at, str) else ""), error)
            raise UsageError(str(why)) if isinstance(error, PermissionError) and not expired(error) else why from None
        if not found:
            what = "Parquet file" if endings == PARQUET else f"file with a name in {', '.join(endings)}"
            raise UsageError(f"{key} = {path!r}: no {what} there")
        files |= {file.path: file for file in found}
    return list(files.values())


def _expand(path: str, endings: tuple[str, ...]) -> list[InputFile]:
    fs, root = open_url(path)
    if GLOB.search(root) and not (isinstance(fs, LocalFileSystem) and fs.exists(root)):
        matches = _glob(fs, root)
        for folder in {name.rpartition("/")[0] for name in matches}:
            if fs.exists(f"{folder}/{UNFINISHED}"):
                raise _unfinished(fs, folder)
    elif root.endswith(".parquet"):
        matches = {root: fs.info(root)}
    else:
        return _below(fs, root, endings, missing_is_error=True)
    files = []
    for name, listed in sorted(matches.items()):
        info = _followed(fs, name, listed)
        files += _below(fs, name, endings) if info["type"] == "directory" else [_file(fs, name, info)]
    return sorted(files, key=lambda file: file.path)


def _glob(fs: Any, pattern: str) -> dict[str, dict[str, Any]]:
    """What a glob matches. Raises PermissionError where it would look into a local folder that may not be read;
    fsspec would leave it out."""
    parent = pattern.rpartition("/")[0]
    if isinstance(fs, LocalFileSystem) and GLOB.search(parent):
        _check_readable(_glob(fs, parent))
    return {name: info for name, info in fs.glob(pattern, detail=True).items() if not _passed_over(name, pattern)}


def _find(fs: Any, root: str) -> dict[str, dict[str, Any]]:
    """All files below a folder, and the file itself where it is one. Raises PermissionError as `_glob` does."""
    if not isinstance(fs, LocalFileSystem):
        return fs.find(root, detail=True)
    found = fs.find(root, detail=True, withdirs=True)
    _check_readable({name: info for name, info in found.items() if not _hidden(name.removeprefix(root))})
    return {name: info for name, info in found.items() if info["type"] != "directory"}


def _check_readable(found: dict[str, dict[str, Any]]) -> None:
    for name, info in found.items():
        if info["type"] == "directory":
            os.scandir(name).close()


def _passed_over(name: str, pattern: str) -> bool:
    """Whether a match of a glob is hidden, and the pattern has no hidden part that asks for it."""
    fixed = GLOB.split(pattern)[0].rpartition("/")[0] + "/"
    return _hidden(name.removeprefix(fixed)) and not _hidden(pattern.removeprefix(fixed))


def _hidden(path: str) -> bool:
    return any(part.startswith(("_", ".")) for part in path.split("/"))


def _below(fs: Any, root: str, endings: tuple[str, ...], missing_is_error: bool = False) -> list[InputFile]:
    found = _find(fs, root)
    if f"{root}/_SUCCESS" in found and any(name.startswith(f"{root}/ranked/") for name in found):
        raise UsageError(f"{full_name(fs, root)}: is a run's output; its result is {full_name(fs, root)}/ranked")
    for name in found:
        if name.endswith(f"/{UNFINISHED}"):
            raise _unfinished(fs, name.removesuffix(f"/{UNFINISHED}"))
    if root in found:  # a file after all, named without .parquet
        return [_file(fs, root, found[root])]
    if not found and missing_is_error:
        fs.info(root)  # raises FileNotFoundError, or PermissionError, where that is why nothing was found
        if hasattr(fs, "ls"):
            fs.ls(root)
    files = []
    for name, listed in sorted(found.items()):
        if _hidden(name.removeprefix(root.rstrip("/") + "/")):
            continue
        wanted = name.lower().endswith(endings)
        info = _followed(fs, name, listed) if wanted or _links_to_folder(name, listed) else listed
        if info["type"] == "directory":  # there may be loops of such links
            raise UsageError(
                f"{full_name(fs, name)}: a link to a folder, which is not followed; give it in input.path, too"
            )
        if wanted:
            files.append(_file(fs, name, info))
    return files


def _unfinished(fs: Any, folder: str) -> UsageError:
    return UsageError(f"{full_name(fs, folder)}: jobs/prepare.py has not finished it; start it again")


def _links_to_folder(name: str, listed: dict[str, Any]) -> bool:
    return bool(listed.get("islink")) and os.path.isdir(name)


def _followed(fs: Any, name: str, listed: dict[str, Any]) -> dict[str, Any]:
    """What is known of a listed file; of what it leads to where it is a link, of which a listing tells little."""
    if not listed.get("islink"):
        return listed
    try:
        return fs.info(name)
    except OSError as error:
        raise UsageError(f"{full_name(fs, name)}: a link that leads to no file ({error.strerror})") from None


def _file(fs: Any, name: str, info: dict[str, Any]) -> InputFile:
    path = full_name(fs, name)
    try:
        path.encode()
        same = full_name(*open_url(path)) == path
    except (UnicodeError, TypeError, ValueError):
        same = False
    if not same:
        raise UsageError(f"{path!r}: no file can be opened by this name; rename it (it has `::`, or is not UTF-8)")
    keys = ("ETag", "etag", "mtime", "LastModified", "created")
    version = next((info[key] for key in keys if info.get(key)), "")
    if isinstance(version, datetime):  # some stores give one time in two forms, depending on who asks
        version = version.timestamp()
    return InputFile(path, int(info["size"]), str(version).strip('"'))
