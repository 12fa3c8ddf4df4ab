"""pipeline/rank/buckets.py: rows that were put by bucket come back by bucket, and nothing else is read."""

import zlib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from pipeline.errors import RunError
from pipeline.rank.buckets import BucketReader, encode_by_bucket, find_buckets, hash_crc32
from pipeline.storage.folder import Folder
from tests.s3_counter import record_requests

ROWS = pa.table({"id": ["a", "b", "c", "d", "e"], "text": pa.array(["1", None, "", "é", "5"], pa.large_string())})
BUCKET = np.array([3, 0, 3, 2, 3])


def put(folder: Folder, name: str, rows: pa.Table, bucket: np.ndarray, buckets: int) -> dict[str, np.ndarray]:
    data, index = encode_by_bucket(rows, bucket, buckets)
    folder.put(name, data)
    return {name: index}


def ids(table: pa.Table) -> str:
    return "".join(table["id"].to_pylist())


def test_a_bucket_has_its_rows_in_their_order(tmp_path: Path) -> None:
    folder = Folder(str(tmp_path))
    files = BucketReader(folder, put(folder, "one", ROWS, BUCKET, 5), ROWS.schema)
    assert [ids(files.read(bucket)) for bucket in range(5)] == ["b", "", "d", "ace", ""]
    assert files.read(3).to_pylist() == ROWS.take([0, 2, 4]).to_pylist()
    assert files.read(1).schema == ROWS.schema
    assert ids(files.read(3, 0)) == "aceb"


def test_files_come_in_the_order_of_the_index(tmp_path: Path) -> None:
    folder = Folder(str(tmp_path))
    index = put(folder, "z", ROWS, BUCKET, 5) | put(folder, "a", ROWS.slice(3), np.array([3, 1]), 5)
    files = BucketReader(folder, index, ROWS.schema)
    assert [ids(files.read(bucket)) for bucket in range(5)] == ["b", "e", "d", "aced", ""]


def test_an_index_may_begin_behind_the_first_bucket(tmp_path: Path) -> None:
    folder = Folder(str(tmp_path))
    index = put(folder, "a", ROWS, BUCKET, 4) | put(folder, "b", ROWS, BUCKET, 4)
    files = BucketReader(folder, index, ROWS.schema, {"b": 3})
    assert [ids(files.read(bucket)) for bucket in range(8)] == ["b", "", "d", "aceb", "", "d", "ace", ""]


def test_no_rows_make_a_file_without_buckets(tmp_path: Path) -> None:
    folder = Folder(str(tmp_path))
    for buckets in (0, 3):
        index = put(folder, "none", ROWS.slice(0, 0), np.zeros(0, np.int64), buckets)
        assert len(index["none"]) == buckets + 1
        assert len(BucketReader(folder, index, ROWS.schema).read(0)) == 0


def test_only_the_bucket_s_bytes_are_read(s3_server: str) -> None:
    folder = Folder("s3://bucket/buckets")
    index = put(folder, "one", ROWS, BUCKET, 5)
    with record_requests() as requests:
        BucketReader(folder, index, ROWS.schema).read(2)
    at = index["one"]
    assert [request.range for request in requests.gets] == [(at[2], at[3] - 1)]


def test_a_file_that_has_gone_is_named(tmp_path: Path) -> None:
    folder = Folder(str(tmp_path))
    files = BucketReader(folder, put(folder, "one", ROWS, BUCKET, 5), ROWS.schema)
    folder.delete(["one"])
    with pytest.raises(RunError, match=f"{tmp_path}/one: has gone"):
        files.read(3)


def test_the_hash_is_crc_32() -> None:
    found = hash_crc32(pa.chunked_array([["a", "é"], [None, "a"]]))
    assert found.tolist() == [zlib.crc32(b"a"), zlib.crc32("é".encode()), 0, zlib.crc32(b"a")]
    assert hash_crc32(pa.array([], pa.string())).tolist() == []


def test_the_bucket_is_the_crc_32_of_the_id_modulo_their_number() -> None:
    assert find_buckets(pa.chunked_array([["123456789"]]), 1000).tolist() == [0xCBF43926 % 1000]  # CRC-32's check value
    ids = ["q1", "é", "q2", "q1", "", "\U0001f600"]
    expected = [zlib.crc32(value.encode()) % 7 for value in ids]
    assert find_buckets(pa.chunked_array([ids]), 7).tolist() == expected
    assert find_buckets(pa.chunked_array([ids[:2], ids[2:]]), 7).tolist() == expected


def test_null_ids_go_to_bucket_0() -> None:
    assert find_buckets(pa.chunked_array([pa.array(["q1", None])]), 2**32).tolist() == [zlib.crc32(b"q1"), 0]
    assert find_buckets(pa.chunked_array([pa.nulls(2, pa.string())]), 5).tolist() == [0, 0]


def test_no_ids_have_no_buckets() -> None:
    assert find_buckets(pa.chunked_array([], pa.string()), 5).tolist() == []
