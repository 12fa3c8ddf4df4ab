"""Rows and files of every kind that people have, with their fate: docs/input.md as tables.

ROWS and FILES go through a job, JUNK is ignored. The files that end a job are in bad_files.py.
"""

import decimal
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.config import Config, parse

SCORED = "scored"
DUPLICATE = "reject: duplicate of an earlier row with the same query_id and doc_id"
CONTEXT = 256
LATIN1 = "Zürich".encode("latin-1")


@dataclass(frozen=True)
class Kind:
    """One row, which differs from a plain one in some columns.

    becomes: SCORED, or `no score: <reason>`, or `reject: <reason>`. file: the name of its own file, if it has one.
    write: options of that file's writer. doc_id: the id in the result, where it is not the kind's name.
    """

    columns: dict[str, Any] = field(default_factory=dict)
    becomes: str = SCORED
    file: str = ""
    write: dict[str, Any] = field(default_factory=dict)
    doc_id: str | None = None


def unchecked(value: bytes) -> pa.Array:
    """A column of strings that holds any bytes: writers of Parquet need not check them."""
    raw = pa.array([value], pa.binary())
    return pa.Array.from_buffers(pa.string(), 1, raw.buffers())


ROWS = {
    # first-stage scores
    "null score": Kind({"score": None}, "reject: first-stage score is null"),
    "score column of nulls": Kind({"score": pa.nulls(1)}, "reject: first-stage score is null"),
    "NaN score": Kind({"score": float("nan")}, "reject: first-stage score is not finite"),
    "infinite score": Kind({"score": float("inf")}, "reject: first-stage score is not finite"),
    "minus infinite score": Kind({"score": float("-inf")}, "reject: first-stage score is not finite"),
    "huge score": Kind({"query_id": "huge", "score": 1e308}),
    "huge score below zero": Kind({"query_id": "huge", "score": -1e308}),
    "huge score, third of its query": Kind({"query_id": "huge", "score": 0.0}),
    "negative zero": Kind({"query_id": "zero", "score": -0.0}),
    "zero beside it": Kind({"query_id": "zero", "score": 0.0}),
    "whole number as score": Kind({"score": 3}),
    "float32 score": Kind({"score": pa.array([0.1], pa.float32())}),
    "decimal score": Kind({"score": decimal.Decimal("1.25")}),
    # ids
    "null query_id": Kind({"query_id": None}, "reject: query_id is null"),
    "null doc_id": Kind({"doc_id": None}, "reject: doc_id is null"),
    "ids of the null type": Kind({"doc_id": pa.nulls(1)}, "reject: doc_id is null"),
    "empty query_id": Kind({"query_id": ""}),
    "empty id": Kind({"doc_id": ""}, doc_id=""),
    "id with NUL, RTL and line break": Kind({"doc_id": "a\0b\u202ec\nd"}, doc_id="a\0b\u202ec\nd"),
    "id that looks like a path": Kind({"doc_id": "../../etc/passwd"}, doc_id="../../etc/passwd"),
    "int64 id": Kind({"doc_id": 2**62}, doc_id=str(2**62)),
    "int32 id": Kind({"doc_id": pa.array([-7], pa.int32())}, doc_id="-7"),
    "binary id": Kind({"doc_id": b"caf\xc3\xa9"}, doc_id="café"),
    "binary id that is not UTF-8": Kind({"doc_id": LATIN1}, doc_id="0x5afc72696368"),
    "string id that is not UTF-8": Kind({"doc_id": unchecked(b"\xff\x00")}, doc_id="0xff00"),
    "dictionary of ids": Kind({"doc_id": pa.array(["dict"]).dictionary_encode()}, doc_id="dict"),
    "null in a dictionary of ids": Kind(
        {"doc_id": pa.array([None], pa.dictionary(pa.int32(), pa.string()))}, "reject: doc_id is null"
    ),
    # texts
    "null query": Kind({"query": None}, "no score: query is null"),
    "null document": Kind({"doc": None}, "no score: document is null"),
    "documents of the null type": Kind({"doc": pa.nulls(1)}, "no score: document is null"),
    "empty query": Kind({"query": ""}, "no score: query is empty"),
    "empty document": Kind({"doc": ""}, "no score: document is empty"),
    "white space": Kind({"doc": " \t\n\u3000\u00a0"}, "no score: document is empty"),
    "white space as query": Kind({"query": " \t\n\u3000\u00a0"}, "no score: query is empty"),
    "empty query, null document": Kind({"query": "", "doc": None}, "no score: query is empty"),
    "null query, empty document": Kind({"query": None, "doc": ""}, "no score: query is null"),
    "binary document that is not UTF-8": Kind({"doc": LATIN1}, "no score: document is not valid UTF-8"),
    "string document that is not UTF-8": Kind({"doc": unchecked(LATIN1)}, "no score: document is not valid UTF-8"),
    "a surrogate in bytes": Kind({"query": unchecked(b"\xed\xa0\x80")}, "no score: query is not valid UTF-8"),
    "title that is not UTF-8": Kind({"title": LATIN1}, "no score: title is not valid UTF-8"),
    "null title": Kind({"title": None}),
    "query longer than the context": Kind(
        {"query": "word " * 300}, f"no score: prompt does not fit: 303 tokens without the document, room for {CONTEXT}"
    ),
    "document of 1 MB": Kind({"doc": "word " * 200_000}),
    "document of one character": Kind({"doc": " . "}),
    "document of a zero": Kind({"doc": "0"}),
    "NUL bytes": Kind({"doc": "before\0after"}),
    "byte order mark": Kind({"doc": "\ufeffdocument"}),
    "right to left": Kind({"doc": "\u202e\u05e9\u05dc\u05d5\u05dd"}),
    "emoji": Kind({"doc": "\U0001f469\u200d\U0001f52c \U0001f3f3\ufe0f\u200d\U0001f308"}),
    "control characters": Kind({"doc": "bell \x07 escape \x1b[31m delete \x7f"}),
    "combining characters": Kind({"doc": "e\u0301 Å\u030a z\u0351\u036b\u0343"}),
    "special tokens as text": Kind({"doc": "before [SEP] after"}),
    "large string": Kind({"doc": pa.array(["text"], pa.large_string())}),
    "string view": Kind({"doc": pa.array(["text"], pa.string_view())}),
    "dictionary of documents": Kind({"doc": pa.array(["text"]).dictionary_encode()}),
    "null in a dictionary of documents": Kind(
        {"doc": pa.array([None], pa.dictionary(pa.int8(), pa.string()))}, "no score: document is null"
    ),
    # of several problems a reject stands, and of several rejects the first
    "null score, empty document": Kind({"score": None, "doc": ""}, "reject: first-stage score is null"),
    "null doc_id, empty document": Kind({"doc_id": None, "doc": ""}, "reject: doc_id is null"),
    "null doc_id, null score": Kind({"doc_id": None, "score": None}, "reject: doc_id is null"),
    # pairs
    "twice": Kind({"doc_id": "good 1", "query_id": "q1", "query": "query number 1", "doc": "document 1"}, DUPLICATE),
    "twice with another text": Kind({"doc_id": "good 2", "query_id": "q2", "doc": "another text"}, DUPLICATE),
    "another text for a query's id": Kind({"query": "not the text of the others"}),
    "one candidate": Kind({"query_id": "lonely"}),
}

FILES = {
    # names
    "name with a space": Kind(file="a b.parquet"),
    "name with #": Kind(file="a#b.parquet"),
    "name with %": Kind(file="a%20b.parquet"),
    "name with ?": Kind(file="a?b.parquet"),
    "name with *": Kind(file="a*b.parquet"),
    "name with brackets": Kind(file="pairs[1].parquet"),
    "name with braces": Kind(file="a{b,c}.parquet"),
    "name in another script": Kind(file="äöü 日本.parquet"),
    "name with a line break": Kind(file="a\nb.parquet"),
    "name with two colons": Kind(file="a::b.parquet"),
    "name in capitals": Kind(file="PAIRS.PARQUET"),
    "name that starts with -": Kind(file="-rf.parquet"),
    "Hive partition": Kind(file="dt=2026-01-01/part-0.parquet"),
    "Spark's folder": Kind(file="spark.parquet/part-00000-6c1d.c000.snappy.parquet", write={"compression": "snappy"}),
    # how it is written
    "uncompressed": Kind(write={"compression": "none"}),
    "snappy": Kind(write={"compression": "snappy"}),
    "gzip": Kind(write={"compression": "gzip"}),
    "zstd": Kind(write={"compression": "zstd"}),
    "lz4": Kind(write={"compression": "lz4"}),
    "brotli": Kind(write={"compression": "brotli"}),
    "Parquet version 1": Kind(write={"version": "1.0", "data_page_version": "1.0"}),
    "data pages of version 2": Kind(write={"version": "2.6", "data_page_version": "2.0"}),
    "page checksums": Kind(write={"write_page_checksum": True}),
    "no dictionary": Kind(write={"use_dictionary": False, "column_encoding": {"doc": "DELTA_LENGTH_BYTE_ARRAY"}}),
    # other columns
    "columns that are not read": Kind({"extra": [{"doc": ["x"]}], "numbers": 3}),
    "pandas' index": Kind({"__index_level_0__": 7}),
    "columns called like ours": Kind({"rank": 9, "reason": "none", "kind": "reject", "row": 5, "file": "x"}),
    "names that differ in case": Kind({"Doc": "wrong", "DOC": 3, "Query": None}),
    "names with dots": Kind({"doc.title": "wrong", "query.doc": "wrong"}),
    "a struct with our names": Kind({"pair": [{"doc": "wrong", "query": "wrong"}]}),
}

# No row of these files is read.
JUNK = ["_SUCCESS", "_metadata", "_common_metadata.parquet", ".hidden.parquet", "_temporary/0/part-0.parquet"]
JUNK += ["notes.csv", "part-0.parquet.crc", ".part-0.parquet.crc", "spark.parquet/_SUCCESS"]

KINDS = ROWS | FILES
BAD = [name for name, kind in KINDS.items() if kind.becomes != SCORED]


def make_row(name: str, number: int = 0) -> dict[str, Any]:
    return {
        "query_id": f"q{number % 7}",
        "query": f"query number {number % 7}",
        "doc_id": name,
        "title": "Title",
        "doc": f"document {number}",
        "score": number / 8,
    }


def make_table(kind: Kind, name: str = "d", number: int = 0) -> pa.Table:
    columns = make_row(name, number) | ({"query_id": "odd"} if kind.becomes == SCORED else {}) | kind.columns
    types = pa.Table.from_pylist([make_row(name)]).schema
    return pa.table(
        {
            name: value
            if isinstance(value, pa.Array | list)
            else pa.array([value], types.field(name).type if value is None and name in types.names else None)
            for name, value in columns.items()
        }
    )


def list_files() -> dict[str, tuple[list[str], pa.Table]]:
    """File -> its kinds, and their rows. Rows of one schema share a file, except those of a kind with its own file."""
    found: dict[str, tuple[list[str], pa.Table]] = {}
    for number, (name, kind) in enumerate(KINDS.items()):
        rows = make_table(kind, name, number)
        types = zlib.crc32(str(rows.schema).encode())
        file = kind.file or f"{name if kind.write else types}.parquet"
        names, before = found.get(file, ([], rows.slice(0, 0)))
        found[file] = [*names, name], pa.concat_tables([before, rows])
    return found


def write(path: Path, rows: pa.Table, **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(rows, path, **options)
    return path


def make_config(path: str, output: Path, minilm: str, **sections: dict[str, Any]) -> Config:
    values: dict[str, dict[str, Any]] = {
        "input": {"path": path},
        "reranker": {"type": "cross_encoder", "model": minilm},
        "engine": {"max_model_len": CONTEXT, "convert": "classify"},  # the model has no head of its own
        "output": {"path": str(output)},
    }
    return parse({name: values.get(name, {}) | sections.get(name, {}) for name in values | sections})
