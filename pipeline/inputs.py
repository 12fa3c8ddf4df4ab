"""`input.path` -> the Parquet files it means, with size and version, in a fixed order. No request per file."""

from dataclasses import dataclass
from typing import Any

from fsspec.utils import get_protocol

from pipeline.errors import UsageError
from pipeline.storage import full_name, open_url


@dataclass(frozen=True)
class InputFile:
    """version: the store's etag, or the time of the last change."""

    path: str
    size: int
    version: str


def list_inputs(paths: list[str]) -> list[InputFile]:
    """All files of the given files, directories and globs: in the order of `paths`, each one's files by name.

    Of a directory, and of a directory that a glob matches, these are the files below it that end in `.parquet`;
    names that start with `_` or `.` are passed over, and so is what lies below them. A file named twice counts once.
    Raises UsageError for a path that is not there, cannot be read, or holds no Parquet file.
    """
    files: dict[str, InputFile] = {}
    for path in paths:
        try:
            found = _expand(path)
        except FileNotFoundError:
            raise UsageError(f"input.path = {path!r}: no such file or directory") from None
        except PermissionError as error:
            raise UsageError(f"input.path = {path!r}: no permission ({error})") from None
        except (ValueError, ImportError) as error:
            raise UsageError(f"input.path = {path!r}: {error}") from None
        if not found:
            raise UsageError(f"input.path = {path!r}: no Parquet file there")
        files |= {file.path: file for file in found}
    return list(files.values())


def _expand(path: str) -> list[InputFile]:
    fs, root = open_url(path)
    if any(char in root for char in "*?[") and not (get_protocol(path) == "file" and fs.exists(root)):
        matches = fs.glob(root, detail=True)
    elif root.endswith(".parquet"):
        matches = {root: fs.info(root)}
    else:
        return _below(fs, root, missing_is_error=True)
    files = []
    for name, info in sorted(matches.items()):
        files += _below(fs, name) if info["type"] == "directory" else [_file(fs, name, info)]
    return files


def _below(fs: Any, root: str, missing_is_error: bool = False) -> list[InputFile]:
    found = fs.find(root, detail=True)
    if root in found:  # a file after all, named without .parquet
        return [_file(fs, root, found[root])]
    if not found and missing_is_error:
        fs.info(root)  # raises FileNotFoundError, or PermissionError, where that is why nothing was found
        if hasattr(fs, "ls"):
            fs.ls(root)
    files = []
    for name, info in sorted(found.items()):
        parts = name.removeprefix(root.rstrip("/") + "/").split("/")
        hidden = any(part.startswith(("_", ".")) for part in parts)
        if parts[-1].lower().endswith(".parquet") and not hidden:
            files.append(_file(fs, name, info))
    return files


def _file(fs: Any, name: str, info: dict[str, Any]) -> InputFile:
    version = (
        info.get("ETag") or info.get("etag") or info.get("mtime") or info.get("LastModified") or info.get("created")
    )
    return InputFile(full_name(fs, name), int(info["size"]), str(version).strip('"'))
