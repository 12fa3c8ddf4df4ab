"""Shared by tests of preparing: small files, in any format, and sources and pieces of them."""

import bz2
import gzip
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from pipeline.prepare.pieces import Piece, cut_pieces
from pipeline.prepare.sizes import Sizes
from pipeline.prepare.sources import Source, list_sources

PACK: dict[str, Callable[[bytes], bytes]] = {
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".zst": lambda data: pa.Codec("zstd").compress(data, asbytes=True),
}


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., str]:
    """Writes a text below tmp_path, packed as its name says, and gives its path."""

    def write(name: str, text: str | bytes) -> str:
        data = text.encode() if isinstance(text, str) else text
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(PACK.get(path.suffix, bytes)(data))
        return str(path)

    return write


def source(kind: str, path: str, format: str | None = None) -> Source:
    (found,) = list_sources(kind, [path], format)
    return found


def pieces(
    kind: str, path: str, format: str | None = None, sizes: Sizes = Sizes(), columns: dict[str, str] = {}
) -> list[Piece]:
    return cut_pieces([source(kind, path, format)], columns, sizes)
