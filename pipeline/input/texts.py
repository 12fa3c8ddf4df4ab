"""Small texts that are read whole: judgements and the like, compressed or not, on any store."""

import io
import lzma
import zlib

from fsspec.compression import compr
from fsspec.utils import infer_compression

from pipeline.errors import UsageError, one_line
from pipeline.input.encodings import check_utf8
from pipeline.storage.retry import Retries
from pipeline.storage.urls import fetch

ONE_ROUND = Retries(waits=())


def fetch_text(path: str, what: str) -> bytes:
    """The bytes of a file, unpacked if its name says that it is compressed. what: the user's word for what it holds.

    Raises UsageError where there is none, or it cannot be unpacked, and StoreError where the store does not answer.
    """
    try:
        packed = io.BytesIO(fetch(path, retries=ONE_ROUND))  # somebody waits for it
        kind = infer_compression(path)
        return compr[kind](packed, mode="rb").read() if kind else packed.read()
    except (OSError, ValueError, ImportError, EOFError, zlib.error, lzma.LZMAError) as error:
        raise UsageError(f"{path}: cannot read {what}: {one_line(error)}") from None


def decode_lines(path: str, data: bytes, what: str) -> list[tuple[int, str]]:
    """Number and text of each line that is not blank. Raises UsageError for a text that is not UTF-8."""
    check_utf8(path, data)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: cannot read {what}: {one_line(error)}") from None
    lines = [line.removesuffix("\r") for line in text.split("\n")]  # splitlines would break a line at a form feed, too
    return [(number, line) for number, line in enumerate(lines, 1) if line.strip()]
