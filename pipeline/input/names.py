"""The names below a folder, those that a glob matches, and what is passed over for its name."""

import glob
import os
import re
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from fsspec.implementations.http import HTTPFileSystem
from fsspec.implementations.local import LocalFileSystem
from fsspec.utils import glob_translate

from pipeline.storage.urls import build_url

GLOB_SYNTAX = re.compile(r"[*?[]")
URL_GLOB_SYNTAX = re.compile(r"[*[]")  # a URL may have a query behind `?`
THREADS = 16
NO_DATA = re.compile(r"_SUCCESS|_(common_)?metadata|_(started|committed)_.*|.*\.crc|\.DS_Store")  # of other programs

Names = dict[str, dict[str, Any]]  # name -> what the store says of it


def is_glob(fs: Any, path: str) -> bool:
    """Whether a path has the syntax of globs, and is not the name of a local file."""
    if isinstance(fs, LocalFileSystem) and fs.exists(path):
        return False
    return _find_syntax(fs).search(path) is not None


def get_fixed_folder(fs: Any, pattern: str) -> str:
    """The folder below which everything lies that a glob may match."""
    return _find_syntax(fs).split(pattern)[0].rpartition("/")[0]


def find_names(fs: Any, pattern: str) -> Names:
    """All files and folders below a glob's fixed folder, as deep as the glob goes. Raises OSError where a local folder
    that may hold matches cannot be read."""
    fixed = get_fixed_folder(fs, pattern)
    depth = None if "**" in pattern else pattern.removeprefix(f"{fixed}/").count("/") + 1
    if isinstance(fs, LocalFileSystem):
        return _find_local(fs, f"{fixed}/", lambda folder: _may_hold_matches(folder, pattern, fixed), depth)
    found = fs.find(f"{fixed}/", maxdepth=depth, withdirs=True, detail=True)
    if isinstance(fs, HTTPFileSystem):  # its folders end in a slash
        found = {name.rstrip("/"): info for name, info in found.items()}
    return _add_sizes(fs, _drop_markers(found))


def select_matches(names: Names, pattern: str) -> Names:
    """The names that a glob matches."""
    matches, slash = re.compile(glob_translate(pattern)).match, "/" if pattern.endswith("/**") else ""
    return {
        name: info for name, info in names.items() if matches(name + slash if info["type"] == "directory" else name)
    }


def find_files(fs: Any, root: str) -> Names:
    """All files below a folder, and the file itself where it is one. Raises OSError where a local folder below it
    cannot be read."""
    if not isinstance(fs, LocalFileSystem):
        return _add_sizes(fs, _drop_markers(fs.find(root, detail=True)))
    found = _find_local(fs, root, lambda folder: not is_hidden(folder.removeprefix(root)))
    return {name: info for name, info in found.items() if info["type"] != "directory"}


def would_list(given: str, path: str) -> bool:
    """Whether the listing of a path of the input would show a Parquet file that is there. Both are absolute."""
    above = [path[:at] for at, char in enumerate(path) if char == "/"]
    folders = [place for place in (path, *above) if place == given.rstrip("/")]
    fixed = GLOB_SYNTAX.split(given)[0].rpartition("/")[0]
    hidden_too = is_hidden(given.removeprefix(f"{fixed}/"))
    matches = re.compile(glob_translate(given)).match
    for place in (path, *above):  # a glob may match a folder
        if matches(place) and (hidden_too or not is_hidden(place.removeprefix(f"{fixed}/"))):
            folders.append(place)
    below = (path.removeprefix(place) for place in folders)
    return any(not rest or (rest.lower().endswith(".parquet") and not is_hidden(rest)) for rest in below)


def is_hidden(path: str) -> bool:
    """Whether a name in a path begins with `_` or `.`."""
    return any(part.startswith(("_", ".")) for part in path.split("/"))


def find_reading_glob(fs: Any, root: str, name: str, listed: dict[str, Any]) -> str | None:
    """The glob that reads a file which a listing of `root` passes over for its name; None for a file that holds no data
    in any case: an empty one, or one that other programs put beside data."""
    below = name.removeprefix(root.rstrip("/") + "/")
    *folders, last = below.split("/")
    if not listed.get("size", 1) or listed["type"] == "directory" or NO_DATA.fullmatch(last):
        return None
    ending = os.path.splitext(last)[1]
    ending = ending if re.fullmatch(r"\.[A-Za-z]\w{,9}", ending) else ""
    hidden = next((part for part in folders if is_hidden(part)), None)
    if hidden:
        below = f"{glob.escape(hidden)}/**/*{ending}"
        folders = folders[: folders.index(hidden)]
    else:
        below = f"{last[0] if is_hidden(last) else ''}*{ending}"
    return glob.escape(build_url(fs, root).rstrip("/")) + ("/**/" if folders else "/") + below


def describe_passed_over(counts: Counter[str]) -> str:
    """One line about files that were passed over. counts: the glob that reads them, or the manifest of a result that
    does not name them -> how many."""
    most = ", ".join(
        f"{count:,} that {why} {'does not name' if why.endswith('.json') else 'would read'}"
        for why, count in counts.most_common(3)
    )
    more = f", and {len(counts) - 3} more kinds of names" if len(counts) > 3 else ""
    return f"files passed over: {most}{more}"


def _find_syntax(fs: Any) -> re.Pattern[str]:
    return URL_GLOB_SYNTAX if isinstance(fs, HTTPFileSystem) else GLOB_SYNTAX


def _drop_markers(names: Names) -> Names:
    """The names without the empty objects that stand for folders on a store: `a/`, and Hadoop's `a_$folder$`."""
    return {name: info for name, info in names.items() if not name.endswith(("/", "_$folder$"))}


def _add_sizes(fs: Any, names: Names) -> Names:
    """The names with what the store says of each file by itself where a listing does not have its size, as a web
    server's has not. One request for each of these."""
    bare = [name for name, info in names.items() if info.get("size") is None and info.get("type") != "directory"]
    if not bare:
        return names
    with ThreadPoolExecutor(THREADS) as pool:
        return names | dict(zip(bare, pool.map(fs.info, bare), strict=True))


def _find_local(fs: Any, root: str, wanted: Callable[[str], object], depth: int | None = None) -> Names:
    """A local folder, and all files and folders below it; or a file. Raises OSError where a wanted folder cannot be
    read: fsspec's own walk leaves it out, without a word."""
    start = root.rstrip("/")
    found: Names = {start: fs.info(start)} if fs.exists(start) else {}
    folders = [(start, 1)] if found and found[start]["type"] == "directory" else []
    while folders:
        folder, level = folders.pop()
        try:
            listed = {info["name"]: info for info in fs.ls(folder, detail=True)}
        except FileNotFoundError:  # deleted meanwhile
            continue
        except OSError:
            if wanted(folder):
                raise
            continue
        found |= listed
        if depth is None or level < depth:
            folders += [(name, level + 1) for name, info in listed.items() if info["type"] == "directory"]
    return found


def _may_hold_matches(folder: str, pattern: str, fixed: str) -> bool:
    if is_hidden(folder.removeprefix(fixed)) and not is_hidden(pattern.removeprefix(fixed)):
        return False
    if "**" in pattern:
        return True
    parts = pattern.split("/")[: folder.rstrip("/").count("/") + 1]
    return re.match(glob_translate("/".join(parts)), folder.rstrip("/")) is not None
