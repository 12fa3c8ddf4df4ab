"""The commit of a result: parts first, then the manifest that names them, then `_SUCCESS`.

Protocol of a re-rank: delete `_SUCCESS`, put the new parts, replace the manifest, put `_SUCCESS` with the manifest's
SHA-256, delete the parts that the manifest does not name. A reader reads `_SUCCESS`, checks that the manifest has that
hash, and reads the parts that it names: it finds the whole old result, the whole new one, or none at that moment.
"""

import json
import re
from typing import Any

from pipeline.errors import RunError, UsageError, say
from pipeline.input.result import MANIFEST, SUCCESS, hash_manifest
from pipeline.storage.folder import Folder

RUN_FOLDERS = ("lease", "ranked", "rejects", "rest", "scores")  # a run's folders in an output, which may have others
PART_NAME = re.compile(r"(ranked|rejects|rest)/part-\d+-[0-9a-f]{12}\.parquet")  # names that runs write, and may delete


def read_last_manifest(output: Folder) -> dict[str, Any] | None:
    """The manifest of the last result, which may have been withdrawn by a run that did not end; None without one.

    Raises UsageError where the file is not a run's: the next result would take its place. One that is cut short, in a
    folder with scores, is a run's: not every store puts files whole.
    """
    try:
        manifest = json.loads(output.read(MANIFEST))
    except FileNotFoundError:
        return None
    except ValueError:
        if output.names("scores/"):
            say(f"{output.path(MANIFEST)}: is cut short; the result is made again from its scores")
            return None
        manifest = None
    if not isinstance(manifest, dict) or not {"fingerprint", "input", "parts"} <= manifest.keys():
        raise UsageError(f"{output.path(MANIFEST)}: is not of rayrank; choose another output.path, or move it away")
    return manifest


def has_all_parts(output: Folder, manifest: dict[str, Any]) -> bool:
    """Whether all parts that a manifest names are there."""
    try:
        _check_parts(output, manifest)
    except FileNotFoundError:
        return False
    return True


def withdraw_result(output: Folder) -> None:
    """Makes the standing result invalid, before any part of a new one is written."""
    output.delete([SUCCESS])


def restore_result(output: Folder, manifest: dict[str, Any]) -> None:
    """Makes a result valid again that was withdrawn, if its manifest and its parts are still there."""
    if read_last_manifest(output) == manifest and has_all_parts(output, manifest):
        output.put(SUCCESS, hash_manifest(output.read(MANIFEST)) + b"\n")


def commit(output: Folder, manifest: dict[str, Any]) -> None:
    """Makes the parts that `manifest` names the result. Raises RunError if one of them is not there."""
    try:
        _check_parts(output, manifest)
    except FileNotFoundError as error:
        raise RunError(
            f"{error}: is gone before it was committed; does another run write to this output? "
            "The same command goes on from here"
        ) from None
    data = json.dumps(manifest, indent=1).encode()
    output.put(MANIFEST, data)
    output.put(SUCCESS, hash_manifest(data) + b"\n")


def list_unnamed_parts(output: Folder, manifest: dict[str, Any]) -> list[str]:
    """The parts that a manifest does not name."""
    return sorted(list_parts(output).keys() - {*_name_parts(manifest)})


def _check_parts(output: Folder, manifest: dict[str, Any]) -> None:
    """Raises FileNotFoundError, with the part's URL, where a part that a manifest names is gone."""
    output.sizes(_name_parts(manifest), list_parts(output))


def _name_parts(manifest: dict[str, Any]) -> list[str]:
    return [*manifest["parts"], *manifest["rejects"], *manifest.get("rest", [])]


def list_parts(output: Folder) -> dict[str, int]:
    """Name -> size of all parts, of this result or another."""
    found = output.files("ranked/") | output.files("rejects/") | output.files("rest/")
    return {name: size for name, size in found.items() if PART_NAME.fullmatch(name)}
