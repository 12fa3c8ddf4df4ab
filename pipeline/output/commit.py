"""The commit of a result: parts first, then the manifest that names them, then `_SUCCESS`.

Protocol of a re-rank: delete `_SUCCESS`, put the new parts, replace the manifest, put `_SUCCESS` with the manifest's
SHA-256, delete the parts that the manifest does not name. A reader reads `_SUCCESS`, checks that the manifest has that
hash, and reads the parts that it names: it finds the whole old result, the whole new one, or none at that moment.
"""

import json
import re
from typing import Any

from pipeline.errors import RunError
from pipeline.input.result import MANIFEST, SUCCESS, hash_manifest
from pipeline.storage.folder import Folder

RUN_FOLDERS = ("lease", "ranked", "rejects", "scores")  # a run's folders in an output, which may have others
PART_NAME = re.compile(r"(ranked|rejects)/part-\d+-[0-9a-f]{12}\.parquet")  # names that runs write, and may delete


def read_last_manifest(output: Folder) -> dict[str, Any] | None:
    """The manifest of the last result, which may have been withdrawn by a run that did not end; None without one, or
    where it cannot be read."""
    try:
        return json.loads(output.read(MANIFEST))
    except (FileNotFoundError, ValueError):
        return None


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


def sweep(output: Folder, manifest: dict[str, Any]) -> None:
    """Deletes the parts that the standing manifest does not name, and the temporary files of killed processes."""
    named = {*manifest["parts"], *manifest["rejects"]}
    output.delete([name for name in _list_parts(output) if name not in named])
    output.sweep_unfinished(RUN_FOLDERS)


def discard_parts(output: Folder, result_id: str) -> None:
    """Deletes the parts of a result that was not committed: scores they were made of may be gone since."""
    output.delete([name for name in _list_parts(output) if name.endswith(f"-{result_id}.parquet")])


def _check_parts(output: Folder, manifest: dict[str, Any]) -> None:
    """Raises FileNotFoundError, with the part's URL, where a part that a manifest names is gone."""
    output.sizes([*manifest["parts"], *manifest["rejects"]], _list_parts(output))


def _list_parts(output: Folder) -> dict[str, int]:
    """Name -> size of all parts, of this result or another."""
    found = output.files("ranked/") | output.files("rejects/")
    return {name: size for name, size in found.items() if PART_NAME.fullmatch(name)}
