"""Parts of tables that no library writes, made by hand from the specifications of the formats: Delta's log and deletion
vectors (github.com/delta-io/delta/blob/master/PROTOCOL.md), and Iceberg's delete files (iceberg.apache.org/spec,
iceberg.apache.org/puffin-spec)."""

import json
import struct
import uuid
import zlib
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

Z85 = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#"
DELTA_MAGIC, PUFFIN_MAGIC = 1681511377, b"\xd1\xd3\x39\x64"


def encode_z85(data: bytes) -> str:
    """ZeroMQ's base 85: five characters for each four bytes."""
    out = ""
    for at in range(0, len(data), 4):
        (number,) = struct.unpack(">I", data[at : at + 4])
        out += "".join(Z85[number // 85**power % 85] for power in (4, 3, 2, 1, 0))
    return out


def encode_roaring(rows: list[int]) -> bytes:
    """Numbers as a 64-bit Roaring bitmap in its portable form, with array containers alone."""
    out = struct.pack("<Q", len({row >> 32 for row in rows}))
    for high in sorted({row >> 32 for row in rows}):
        low = [row & 0xFFFFFFFF for row in sorted(rows) if row >> 32 == high]
        keys = sorted({row >> 16 for row in low})
        chunks = {key: [row & 0xFFFF for row in low if row >> 16 == key] for key in keys}
        out += struct.pack("<I", high) + struct.pack("<II", 12346, len(keys))  # no runs
        out += b"".join(struct.pack("<HH", key, len(chunk) - 1) for key, chunk in chunks.items())
        offset = 8 + 8 * len(keys)
        for chunk in chunks.values():
            out += struct.pack("<I", offset)
            offset += 2 * len(chunk)
        out += b"".join(struct.pack(f"<{len(chunk)}H", *chunk) for chunk in chunks.values())
    return out


def make_vector(root: Path, rows: list[int], storage: str) -> dict[str, Any]:
    """The descriptor of a deletion vector of Delta. storage: inline ("i"), a file below the table ("u"), or one with a
    full path ("p")."""
    data = struct.pack("<I", DELTA_MAGIC) + encode_roaring(rows)
    about = {"storageType": storage, "sizeInBytes": len(data), "cardinality": len(rows)}
    if storage == "i":
        return about | {"pathOrInlineDv": encode_z85(data + bytes(-len(data) % 4))}
    name = uuid.uuid4()
    file = root / f"deletion_vector_{name}.bin"
    file.write_bytes(b"\x01" + struct.pack(">I", len(data)) + data + struct.pack(">I", zlib.crc32(data)))
    where = encode_z85(name.bytes) if storage == "u" else file.as_uri()
    return about | {"pathOrInlineDv": where, "offset": 1}


class DeltaLog:
    """A table of Delta whose log is written by hand."""

    def __init__(
        self, root: Path, schema: dict[str, str], physical: dict[str, str] = {}, mode: str = "", parts: list[str] = []
    ):
        """schema: column -> Delta's type. physical: column -> its name in the files, with column mapping. parts:
        columns of the partition."""
        self.root, self._version, self._physical = root, 0, physical
        self._schema, self._mode, self._parts = schema, mode, parts
        (root / "_delta_log").mkdir(parents=True)
        features = ["deletionVectors", *(["columnMapping"] if mode else [])]
        protocol = {"minReaderVersion": 3, "minWriterVersion": 7, "readerFeatures": features}
        self.commit({"protocol": protocol | {"writerFeatures": features}}, self.metadata())

    def metadata(self) -> dict[str, Any]:
        """The action that says which columns there are."""
        fields = [
            {"name": name, "type": kind, "nullable": True, "metadata": self._map(name, number)}
            for number, (name, kind) in enumerate(self._schema.items(), 1)
        ]
        more = {"delta.columnMapping.mode": self._mode, "delta.columnMapping.maxColumnId": str(len(fields))}
        return {
            "metaData": {
                "id": "5fba94ed-9794-4965-ba6e-6ee3c0d22af9",
                "format": {"provider": "parquet", "options": {}},
                "schemaString": json.dumps({"type": "struct", "fields": fields}),
                "partitionColumns": self._parts,
                "configuration": {"delta.enableDeletionVectors": "true"} | (more if self._mode else {}),
                "createdTime": 0,
            }
        }

    def _map(self, name: str, number: int) -> dict[str, Any]:
        if not self._mode:
            return {}
        return {
            "delta.columnMapping.id": number,
            "delta.columnMapping.physicalName": self._physical.get(name, name),
        }

    def rename(self, old: str, new: str) -> None:
        """Gives a column another name, which changes no file."""
        self._schema = {new if name == old else name: kind for name, kind in self._schema.items()}
        self._physical = {new if name == old else name: place for name, place in self._physical.items()}
        self.commit(self.metadata())

    def add(self, name: str, table: pa.Table, vector: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
        """Puts a data file, and gives the action that adds it."""
        file = self.root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        if not file.exists():
            pq.write_table(table, file, row_group_size=4)
        action = {"path": name, "partitionValues": {}, "size": file.stat().st_size, "modificationTime": 0}
        action |= {"dataChange": True, "stats": json.dumps({"numRecords": len(table)})}
        return {"add": action | ({"deletionVector": vector} if vector else {}) | more}

    def commit(self, *actions: dict[str, Any]) -> None:
        """Makes the next version."""
        path = self.root / "_delta_log" / f"{self._version:020d}.json"
        path.write_text("\n".join(map(json.dumps, actions)))
        self._version += 1


def delete_positions(table: Any, rows: dict[str, list[int]], name: str) -> None:
    """Commits a file of positions to an Iceberg table. rows: data file -> its rows."""
    paths = [path for path, own in rows.items() for _ in own]
    deletes = pa.table({"file_path": paths, "pos": pa.array([row for own in rows.values() for row in own], pa.int64())})
    path = f"{table.location()}/data/{name}.parquet"
    with table.io.new_output(path).create() as out:
        pq.write_table(deletes, out)
    _commit_deletes(table, path, "PARQUET", len(deletes))


def delete_by_vectors(table: Any, rows: dict[str, list[int]], name: str) -> None:
    """Commits a Puffin file of deletion vectors to an Iceberg table. rows: data file -> its rows."""
    body, blobs = b"PFA1", []
    for path, own in rows.items():
        data = PUFFIN_MAGIC + encode_roaring(own)
        blob = struct.pack(">I", len(data)) + data + struct.pack(">I", zlib.crc32(data))
        about = {"type": "deletion-vector-v1", "fields": [2147483546], "snapshot-id": -1, "sequence-number": -1}
        about |= {"offset": len(body), "length": len(blob)}
        blobs.append(about | {"properties": {"referenced-data-file": path, "cardinality": str(len(own))}})
        body += blob
    footer = json.dumps({"blobs": blobs}).encode()
    body += b"PFA1" + footer + struct.pack("<I", len(footer)) + bytes(4) + b"PFA1"
    path = f"{table.location()}/data/{name}.puffin"
    with table.io.new_output(path).create() as out:
        out.write(body)
    _commit_deletes(table, path, "PUFFIN", sum(map(len, rows.values())))


def delete_equal(table: Any, name: str) -> None:
    """Commits a file of equality deletes, which no reader here knows."""
    path = f"{table.location()}/data/{name}.parquet"
    with table.io.new_output(path).create() as out:
        pq.write_table(pa.table({"id": [1]}), out)
    _commit_deletes(table, path, "PARQUET", 1, "EQUALITY_DELETES")


def _commit_deletes(table: Any, path: str, kind: str, rows: int, content: str = "POSITION_DELETES") -> None:
    from pyiceberg.manifest import DataFile, DataFileContent, FileFormat, ManifestContent, ManifestWriterV2
    from pyiceberg.typedef import Record

    class DeleteManifestWriter(ManifestWriterV2):  # the library writes manifests of data files alone
        def content(self) -> ManifestContent:
            return ManifestContent.DELETES

        @property
        def _meta(self) -> dict[str, str]:
            return super()._meta | {"content": "deletes"}

    file = DataFile.from_args(
        content=DataFileContent[content],
        file_path=path,
        file_format=FileFormat[kind],
        partition=Record(),
        record_count=rows,
        file_size_in_bytes=table.io.new_input(path).__len__(),
    )
    file.spec_id = table.spec().spec_id
    with table.transaction() as transaction, transaction.update_snapshot().fast_append() as append:
        append.new_manifest_writer = lambda spec: DeleteManifestWriter(  # type: ignore[method-assign]
            spec, append.schema(), append.new_manifest_output(), append.snapshot_id, "deflate"
        )
        append.append_data_file(file)
