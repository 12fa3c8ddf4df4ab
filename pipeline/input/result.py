"""The ranked rows of a run as an input: parts count where the manifest of a finished result names them."""

import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.errors import UsageError
from pipeline.storage.folder import Folder
from pipeline.storage.urls import open_url

BATCH_ROWS = 65_536
SUCCESS, MANIFEST = "_SUCCESS", "manifest.json"
RANKED_PART = re.compile(r"(.*)/(ranked/part-\d+-[0-9a-f]{12}\.parquet)", re.DOTALL)


def read_result(output: Folder) -> dict[str, Any] | None:
    """The manifest of the standing result, or None."""
    try:
        success, manifest = output.read(SUCCESS), output.read(MANIFEST)
    except FileNotFoundError:
        return None
    return json.loads(manifest) if success.strip() == hash_manifest(manifest) else None


def read_finished_result(output: Folder) -> dict[str, Any]:
    """The same. Raises UsageError where there is none."""
    manifest = read_result(output)
    if manifest is None:
        raise UsageError(f"{output.url}: holds no finished result (no {SUCCESS} that goes with its {MANIFEST})")
    return manifest


def has_stages(manifest: dict[str, Any]) -> bool:
    """Whether a result is of a run with stages: its scores compare within a stage alone, and its ranks everywhere."""
    return "stages" in manifest


def read_queries(part: str, columns: list[str], batch_rows: int = BATCH_ROWS) -> Iterator[pa.Table]:
    """These columns of the rows of each query of a part, in the order of their ranks. columns: `rank` is one of them.
    part: its URL."""
    fs, path = open_url(part)
    rest = None
    with fs.open(path, "rb") as file:
        for batch in pq.ParquetFile(file).iter_batches(batch_rows, columns=columns):
            table = pa.Table.from_batches([batch])
            rest = table if rest is None else pa.concat_tables([rest, table])
            starts = np.flatnonzero(rest["rank"].to_numpy() == 1)
            for start, stop in pairwise(starts.tolist()):
                yield rest.slice(start, stop - start)
            rest = rest.slice(int(starts[-1]))
    if rest is not None and len(rest):
        yield rest


def hash_manifest(manifest: bytes) -> bytes:
    """The content of `_SUCCESS` for this manifest."""
    return hashlib.sha256(manifest).hexdigest().encode()


def find_unnamed_parts(path: str, files: Iterable[str]) -> dict[str, str]:
    """Parts of results that their manifests do not name, among the files of one path of the input: each with its
    manifest. A folder that was copied away from its run has none, and any files.

    path: absolute. Raises UsageError where a run has no finished result, or a part of it is missing in its folder.
    """
    parts: dict[str, set[str]] = {}
    for file in files:
        if "/ranked/part-" in file and (found := RANKED_PART.fullmatch(file)):
            parts.setdefault(found[1], set()).add(found[2])
    unnamed: dict[str, str] = {}
    for output, there in parts.items():
        manifest = read_result(Folder(output))
        if manifest is None:
            if _is_output(output):
                raise UsageError(
                    f"{output}/ranked: its run has no finished result (no {SUCCESS} that goes with its {MANIFEST}), so "
                    "parts of several may lie there; start that run again first"
                )
            continue
        named = {*manifest.get("parts", there)}
        if path == f"{output}/ranked" and (gone := sorted(named - there)):
            raise UsageError(f"{output}/{gone[0]}: is gone, and {MANIFEST} names it; start that run again first")
        unnamed |= {f"{output}/{part}": f"{output}/{MANIFEST}" for part in there - named}
    return unnamed


def _is_output(folder: str) -> bool:
    """Whether a run writes to a folder, or did."""
    fs, root = open_url(folder)
    return any(fs.exists(f"{root}/{name}") for name in (MANIFEST, SUCCESS, "scores", "lease"))
