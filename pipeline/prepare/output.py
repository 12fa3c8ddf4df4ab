"""The folder of the shards: complete or marked as not, and never mixed with anything else.

`_unfinished` comes first and goes last, and the job refuses a folder that has it. `_prepare.json`, which names the
shards, comes when all of them are there.
"""

import json
import re
from typing import Any

from pipeline.errors import UsageError
from pipeline.input.listing import UNFINISHED_MARK
from pipeline.storage.folder import Folder
from pipeline.storage.urls import open_url

SUMMARY, SCRATCH = "_prepare.json", "_work"
OWN_FILES = re.compile(
    rf"part-\d+\.parquet|_unknown/(queries|docs)-\d+\.tsv|{SUMMARY}|{UNFINISHED_MARK}|{SCRATCH}/.+|lease/.+"
    r"|\.rayrank|(_unknown/)?\.put-[0-9a-f]{16}"  # of a process that was killed
)


def check_output(output: Folder, overwrite: bool, inputs: list[str]) -> list[str]:
    """The files that have to go before shards are written: those of a run that did not end, or that is overwritten.

    inputs: the files that are read. Raises UsageError where the output holds anything else, or a finished run's shards
    without leave to overwrite them, or one of the inputs.
    """
    for path in inputs:
        if path.startswith(f"{output.url}/"):
            raise UsageError(f"--output = {output.url!r}: holds {path}, which is read")
    there = [name for name in output.names() if not name.startswith("lease/")]
    foreign = next((name for name in there if not OWN_FILES.fullmatch(name)), None)
    if foreign:
        raise UsageError(f"--output = {output.url!r}: holds {foreign}, which is no shard; choose another folder")
    if there and UNFINISHED_MARK not in there and not overwrite:
        raise UsageError(f"--output = {output.url!r}: has shards already; --overwrite replaces them")
    return there


def begin(output: Folder, old: list[str]) -> None:
    """Marks the output as unfinished and deletes what is there."""
    output.put(UNFINISHED_MARK, b"")
    output.delete([name for name in old if name != UNFINISHED_MARK and not name.startswith(f"{SCRATCH}/")])
    sweep(output)


def finish(output: Folder, summary: dict[str, Any]) -> None:
    """Makes the shards that have been put the result."""
    output.put(SUMMARY, json.dumps(summary, indent=1).encode())
    output.delete([UNFINISHED_MARK])
    sweep(output)


def sweep(output: Folder) -> None:
    """Deletes the files between the steps."""
    fs, scratch = open_url(output.path(SCRATCH))
    if fs.exists(scratch):
        fs.rm(scratch, recursive=True)
