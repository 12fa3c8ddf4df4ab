"""The commit of a result: parts first, then the manifest that names them, then `_SUCCESS`.

Protocol of a re-rank: `_SUCCESS` goes, new parts come, the manifest is replaced, `_SUCCESS` comes with the manifest's
SHA-256, parts that the manifest does not name go. A reader takes `_SUCCESS`, checks that the manifest has that hash,
and reads the parts it names; it finds the whole old result, or the whole new one, or that there is none just now.
"""

import hashlib
import json
import re
from typing import Any

from pipeline.errors import RunError
from pipeline.storage.folder import Folder

SUCCESS, MANIFEST = "_SUCCESS", "manifest.json"
FOLDERS = ("lease", "ranked", "rejects", "scores")  # of an output; others in it are not a run's
PART = re.compile(r"(ranked|rejects)/part-\d+-[0-9a-f]{12}\.parquet")  # what a run writes, and may delete


def committed(output: Folder) -> dict[str, Any] | None:
    """The manifest of the result that stands, or None where none does."""
    try:
        success, manifest = output.read(SUCCESS), output.read(MANIFEST)
    except FileNotFoundError:
        return None
    return json.loads(manifest) if success.strip() == _hash(manifest) else None


def complete(output: Folder, manifest: dict[str, Any]) -> bool:
    """Whether all parts that a manifest names are there."""
    try:
        _find(output, manifest)
    except FileNotFoundError:
        return False
    return True


def begin(output: Folder) -> None:
    """Takes the standing result back, before any part of a new one is written."""
    output.delete([SUCCESS])


def commit(output: Folder, manifest: dict[str, Any]) -> None:
    """Makes the parts that `manifest` names, all of which have been put, the result. Raises RunError if one is gone."""
    try:
        _find(output, manifest)
    except FileNotFoundError as error:
        raise RunError(
            f"{error}: is gone before it was committed; does another run write to this output? "
            "The same command goes on from here"
        ) from None
    data = json.dumps(manifest, indent=1).encode()
    output.put(MANIFEST, data)
    output.put(SUCCESS, _hash(data) + b"\n")


def sweep(output: Folder, manifest: dict[str, Any]) -> None:
    """Deletes the parts that the standing manifest does not name, and what killed processes left half-written."""
    named = {*manifest["parts"], *manifest["rejects"]}
    output.delete([name for name in _parts(output) if name not in named])
    output.sweep_unfinished(FOLDERS)


def discard(output: Folder, tag: str) -> None:
    """Deletes the parts of a result that was begun, whose scores may be gone since."""
    output.delete([name for name in _parts(output) if name.endswith(f"-{tag}.parquet")])


def _find(output: Folder, manifest: dict[str, Any]) -> None:
    """Raises FileNotFoundError, with its name, where a part that a manifest names is gone."""
    output.sizes([*manifest["parts"], *manifest["rejects"]], _parts(output))


def _parts(output: Folder) -> dict[str, int]:
    """Name -> size of what runs have written as parts."""
    found = output.files("ranked/") | output.files("rejects/")
    return {name: size for name, size in found.items() if PART.fullmatch(name)}


def _hash(data: bytes) -> bytes:
    return hashlib.sha256(data).hexdigest().encode()
