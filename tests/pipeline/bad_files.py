"""Files that end a job, with their error line: docs/input.md as tables.

STOPS end it before anything is started, for a footer or a name shows what is wrong; DAMAGED when they are read.
"""

import datetime
import decimal
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pyarrow.parquet.encryption as pe

from tests.pipeline.kinds import Kind, make_row, make_table, write

WORDS = [f"document {i * 7919 % 1000:04d}" for i in range(1000)]


def write_damaged(path: Path, change: Callable[[bytearray, int, int], Any], **options: Any) -> Path:
    """A file of two row groups. change: edits its bytes, given where the second group's documents begin and end."""
    rows = pa.Table.from_pylist([make_row(f"d{i}", i) | {"doc": doc} for i, doc in enumerate(WORDS)])
    write(path, rows, row_group_size=500, use_dictionary=False, write_statistics=False, **options)
    data, footer = bytearray(path.read_bytes()), pq.read_metadata(path)
    doc = footer.row_group(1).column(4)
    change(data, doc.data_page_offset, doc.data_page_offset + doc.total_compressed_size)
    path.write_bytes(data)
    return path


def zero(data: bytearray, start: int, stop: int) -> None:
    data[start:stop] = bytes(stop - start)


def flip(data: bytearray, start: int, stop: int) -> None:
    at = (start + stop) // 2
    data[max(at, data.find(b"document", at) + 9)] ^= 1  # where texts can be seen: one of a digit


# Damage that no footer shows.
DAMAGED: dict[str, tuple[Callable[[bytearray, int, int], Any], dict[str, Any]]] = {
    "data gone, footer intact": (zero, {"compression": "zstd"}),
    "data gone, uncompressed": (zero, {"compression": "none"}),
    "a bit flip, gzip": (flip, {"compression": "gzip"}),
    "a bit flip, with page checksums": (flip, {"compression": "none", "write_page_checksum": True}),
    "a bit flip, snappy with page checksums": (flip, {"compression": "snappy", "write_page_checksum": True}),
}


def edit_bytes(change: Callable[[bytes], bytes]) -> Callable[[Path], Any]:
    """A file whose bytes are changed after it was written."""

    def make(path: Path) -> None:
        write(path, make_table(Kind()))
        path.write_bytes(change(path.read_bytes()))

    return make


def write_with(**columns: Any) -> Callable[[Path], Any]:
    return lambda path: write(path, make_table(Kind(columns)))


def write_without(column: str) -> Callable[[Path], Any]:
    return lambda path: write(path, make_table(Kind()).drop_columns([column]))


def write_renamed(names: Callable[[str], str]) -> Callable[[Path], Any]:
    return lambda path: write(
        path, make_table(Kind()).rename_columns([names(name) for name in make_table(Kind()).column_names])
    )


def encrypted(plaintext_footer: bool) -> Callable[[Path], Any]:
    """Parquet's own encryption of one column, with keys that nobody can use."""

    class Keys(pe.KmsClient):
        def __init__(self, _: Any):
            super().__init__()

        def wrap_key(self, key: bytes, _: str) -> bytes:
            return key.hex().encode()

    def make(path: Path) -> None:
        how = pe.EncryptionConfiguration("footer", column_keys={"column": ["doc"]}, plaintext_footer=plaintext_footer)
        properties = pe.CryptoFactory(Keys).file_encryption_properties(pe.KmsConnectionConfig(), how)
        write(path, make_table(Kind()), encryption_properties=properties)

    return make


def with_doc_twice(path: Path) -> None:
    rows = make_table(Kind())
    write(path, rows.append_column("doc", rows["doc"]))


def link_to(target: str) -> Callable[[Path], Any]:
    return lambda path: path.symlink_to(target)


# Files that end a job before anything is started: how they are made, and their error line.
STOPS: dict[str, tuple[Callable[[Path], Any], str]] = {
    # bytes
    "zero bytes": (edit_bytes(lambda data: b""), "not a Parquet file, or one cut short (0 bytes)"),
    "no Parquet": (
        edit_bytes(lambda data: b"query,doc\n" * 9),
        "not a Parquet file, or one cut short (90 bytes)",
    ),
    "four bytes": (edit_bytes(lambda data: data[:4]), "not a Parquet file, or one cut short (4 bytes)"),
    "its last byte gone": (edit_bytes(lambda data: data[:-1]), "not a Parquet file, or one cut short"),
    "footer gone": (edit_bytes(lambda data: data[: len(data) // 2]), "not a Parquet file, or one cut short"),
    "a hole in its middle": (edit_bytes(lambda data: data[:50] + data[90:]), "bytes are missing from the middle"),
    "a footer longer than the file": (
        edit_bytes(lambda data: data[:-8] + b"\xff\xff\xff\x7fPAR1"),
        "its footer is longer than the file",
    ),
    "a footer of noise": (edit_bytes(lambda data: b"PAR1" + b"\xa7" * 100 + b"\x64\0\0\0PAR1"), "not a Parquet file: "),
    "encrypted": (encrypted(False), "encrypted"),
    "encrypted columns under a plain footer": (encrypted(True), "encrypted"),
    # schema
    "a missing column": (
        write_without("doc"),
        "has no column 'doc' (input.columns.doc); it has query_id, query,",
    ),
    "a missing id": (write_without("doc_id"), "has no column 'doc_id' (input.columns.doc_id); it has query_id, query"),
    "names in capitals": (
        write_renamed(str.upper),
        "has no column 'query_id' (input.columns.query_id); it has QUERY",
    ),
    "a column twice": (with_doc_twice, "has 2 columns named 'doc' (input.columns.doc)"),
    "columns inside a struct": (
        lambda path: write(path, pa.table({"pair": make_table(Kind()).to_pylist()})),
        "has no column 'query_id' (input.columns.query_id); it has pair",
    ),
    "numbers as texts": (write_with(doc=5), "column 'doc' (input.columns.doc) is int64, not a text"),
    "lists as texts": (write_with(query=[["a", "b"]]), "column 'query' (input.columns.query) is list<"),
    "structs as texts": (write_with(doc=[{"text": "a"}]), "column 'doc' (input.columns.doc) is struct<text: string>"),
    "strings as scores": (write_with(score="0.5"), "column 'score' (input.columns.score) is string, not a number"),
    "bools as scores": (write_with(score=True), "column 'score' (input.columns.score) is bool, not a number"),
    "timestamps as scores": (
        write_with(score=datetime.datetime(2026, 11, 21)),
        "column 'score' (input.columns.score) is timestamp[us], not a number",
    ),
    "lists as ids": (write_with(doc_id=[["a"]]), "column 'doc_id' (input.columns.doc_id) is list<"),
    # ids that are strings in the first file
    "float ids": (write_with(doc_id=1.0), "(input.columns.doc_id) is double, and string in "),
    "bool ids": (write_with(doc_id=True), "(input.columns.doc_id) is bool, and string in "),
    "date ids": (write_with(doc_id=datetime.date(2026, 11, 21)), "doc_id) is date32[day], and string in "),
    "timestamp ids": (
        write_with(query_id=datetime.datetime(2026, 1, 1)),
        "columns.query_id) is timestamp[us], and string in ",
    ),
    "decimal ids": (write_with(doc_id=decimal.Decimal("1.5")), "doc_id) is decimal128(2, 1), and string in "),
    "UUIDs as ids": (
        write_with(doc_id=pa.array([uuid.UUID(int=1).bytes], pa.uuid())),
        "(input.columns.doc_id) is extension<arrow.uuid>, and string in ",
    ),
    "fixed-size binary ids": (
        write_with(doc_id=pa.array([b"a"], pa.binary(1))),
        "is fixed_size_binary[1], and string",
    ),
    # links
    "a link to nowhere": (link_to("nowhere.parquet"), "a link that leads to no file"),
    "a link to itself": (link_to("b.parquet"), "a link that leads to no file"),
    "a link to a folder": (link_to("."), "a link to a folder, which is not followed"),
}
