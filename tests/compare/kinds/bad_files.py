"""Parquet files that cannot be used, and how each is made."""

import datetime
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pyarrow.parquet.encryption as pe

PAIR: dict[str, list[Any]] = {"query": ["q", "q"], "doc": ["a", "b"], "score": [1.0, 0.5]}
PAIRS: dict[str, dict[str, Any]] = {
    "pairs.parquet": PAIR,
    "int-text.parquet": PAIR | {"doc": [1, 2]},
    "list-text.parquet": PAIR | {"query": [["q"], ["q"]]},
    "string-score.parquet": PAIR | {"score": ["high", "low"]},
    "nested-id.parquet": PAIR | {"doc_id": [{"id": 1}, {"id": 2}]},
    "no-doc.parquet": {"query": ["q"], "score": [1.0]},
    "break.parquet": {"que\nry": ["q"]},
    "result/ranked/part.parquet": PAIR,
    "day[1]/a.parquet": PAIR,
    "shards/a.parquet": PAIR,
    "shards/b.parquet": {"query": ["q"], "text": ["a"], "score": [1.0]},
    "types/a.parquet": PAIR,
    "types/b.parquet": PAIR | {"score": ["high", "low"]},
    "carried/a.parquet": PAIR | {"tag": [1, 2]},
    "carried/b.parquet": PAIR | {"tag": ["x", "y"]},
    "long.parquet": {"query": ["q"] * 500, "doc": [f"{i:0100d}" for i in range(500)], "score": [0.5] * 500},
}
WORDS = [f"document {i * 7919 % 1000:04d}" for i in range(1000)]
ROW = {"query_id": "q", "query": "a query", "doc_id": "d2", "doc": "a text", "score": 0.5, "title": "T"}
Make = Callable[[Path], Any]


def put(path: Path, rows: pa.Table, **options: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(rows, path, **({"compression": "none", "use_dictionary": False} | options))


def rows(**columns: Any) -> pa.Table:
    """One row; a value is a column's only one, or the column itself."""
    values = ROW | columns
    return pa.table({key: each if isinstance(each, pa.Array) else [each] for key, each in values.items()})


def having(**columns: Any) -> Make:
    return lambda path: put(path, rows(**columns))


def badly(change: Callable[[bytes], bytes]) -> Make:
    def make(path: Path) -> None:
        put(path, rows())
        path.write_bytes(change(path.read_bytes()))

    return make


def damaged(change: Callable[[bytearray, int, int], Any], **options: Any) -> Make:
    """Two row groups, with a good footer. change: gets the bytes, and the places of the second one's documents."""

    def make(path: Path) -> None:
        many = pa.Table.from_pylist([ROW | {"doc_id": f"x{i}", "doc": doc} for i, doc in enumerate(WORDS)])
        put(path, many, row_group_size=500, write_statistics=False, **options)
        data, footer = bytearray(path.read_bytes()), pq.read_metadata(path)
        doc = footer.row_group(1).column(3)
        change(data, doc.data_page_offset, doc.data_page_offset + doc.total_compressed_size)
        path.write_bytes(data)

    return make


def zeroed(data: bytearray, start: int, stop: int) -> None:
    data[start:stop] = bytes(stop - start)


def flipped(data: bytearray, start: int, stop: int) -> None:
    at = (start + stop) // 2
    data[max(at, data.find(b"document", at) + 9)] ^= 1


class Keys(pe.KmsClient):
    """Keys that go nowhere."""

    def __init__(self, _: Any):
        super().__init__()

    def wrap_key(self, key: bytes, _: str) -> bytes:
        return key.hex().encode()


def encrypted(plaintext_footer: bool) -> Make:
    def make(path: Path) -> None:
        how = pe.EncryptionConfiguration("footer", column_keys={"column": ["doc"]}, plaintext_footer=plaintext_footer)
        properties = pe.CryptoFactory(Keys).file_encryption_properties(pe.KmsConnectionConfig(), how)
        put(path, rows(), encryption_properties=properties)

    return make


# Damage under a good footer, which is found when the file is read.
DAMAGED: dict[str, Make] = {
    "data gone": damaged(zeroed, compression="zstd"),
    "data gone, uncompressed": damaged(zeroed),
    "a bit flipped, gzip": damaged(flipped, compression="gzip"),
    "a bit flipped, checksums": damaged(flipped, write_page_checksum=True),
    "a bit flipped, snappy and checksums": damaged(flipped, compression="snappy", write_page_checksum=True),
}
FILES: dict[str, Make] = {
    **DAMAGED,
    "zero bytes": badly(lambda data: b""),
    "no Parquet": badly(lambda data: b"query,doc,score\n" * 9),
    "footer gone": badly(lambda data: data[: len(data) // 2]),
    "a hole in its middle": badly(lambda data: data[:50] + data[90:]),
    "encrypted": encrypted(False),
    "encrypted columns": encrypted(True),
    "no columns": lambda path: put(path, pa.table({})),
    "no rows": lambda path: put(path, rows().slice(0, 0)),
    "a missing column": lambda path: put(path, rows().drop_columns(["doc"])),
    "a missing id": lambda path: put(path, rows().drop_columns(["doc_id"])),
    "names in capitals": lambda path: put(path, rows().rename_columns([n.upper() for n in ROW])),
    "a column twice": lambda path: put(path, rows().append_column("doc", rows()["doc"])),
    "columns inside a struct": lambda path: put(path, pa.table({"pair": rows().to_pylist()})),
    "numbers as texts": having(doc=5),
    "lists as texts": having(query=["a", "b"]),
    "structs as texts": having(doc={"text": "a"}),
    "strings as scores": having(score="0.5"),
    "bools as scores": having(score=True),
    "timestamps as scores": having(score=datetime.datetime(2026, 11, 21)),
    "lists as ids": having(doc_id=["a"]),
    "fixed-size binary ids": having(doc_id=pa.array([b"a"], pa.binary(1))),
    "a link to nowhere": lambda path: path.symlink_to("nowhere.parquet"),
    "a link to itself": lambda path: path.symlink_to("b.parquet"),
    "a link to a folder": lambda path: path.symlink_to("."),
    "a link to a file": lambda path: path.symlink_to("a.parquet"),
    "an empty folder": lambda path: path.mkdir(),
    "two colons in its name": lambda path: put(path.with_name("b::c.parquet"), rows()),
    "a bit that nothing guards": damaged(flipped),
    "null texts and scores": having(doc=pa.nulls(1), score=pa.nulls(1)),
    "not UTF-8": having(doc="Zürich".encode("latin-1"), query=b"\xed\xa0\x80"),
}
