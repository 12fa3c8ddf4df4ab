"""Which version of a file a listing has shown, and whether it is still the one that is there.

A version is the store's etag, or else the time of the last change. Where the store has no etag and knows the time to
the second alone, a file may be written twice within one; so a hash of its footer is a part of its version.
"""

import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pyarrow as pa

from pipeline.input.listing import InputFile, look_up_file
from pipeline.input.parquet import hash_footer, read_footer_bytes
from pipeline.storage.exact import make_changed_error

THREADS = 32


def is_coarse(version: str) -> bool:
    """Whether files that differ may have the same version: it is a time in whole seconds, or empty."""
    return not version or re.fullmatch(r"-?\d{1,11}(\.0)?", version) is not None  # an etag may be of digits alone, too


def add_footer_hashes(files: list[InputFile]) -> list[InputFile]:
    """The files, with a hash of the footer in the version where it is coarse. Reads the footers of these, no others."""
    coarse = [file for file in files if is_coarse(file.version)]
    with ThreadPoolExecutor(THREADS) as pool:
        hashed = {file.path: file for file in pool.map(_add_footer_hash, coarse)}
    return [hashed.get(file.path, file) for file in files]


def _add_footer_hash(file: InputFile) -> InputFile:
    try:
        hashed = hash_footer(read_footer_bytes(file.path, file.size))
    except (pa.ArrowInvalid, FileNotFoundError):  # who reads it says what is wrong
        return file
    return replace(file, version=f"{file.version}+{hashed}")


def look_up(path: str) -> InputFile | None:
    """A file as it is now, whatever a listing shows; None where it is gone."""
    found = look_up_file(path)
    return add_footer_hashes([found])[0] if found else None


def check_unchanged(file: InputFile) -> None:
    """Raises RunError where a file is not the one that was listed any more."""
    if look_up(file.path) != file:
        raise make_changed_error(file.path)
