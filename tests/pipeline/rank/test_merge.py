"""Merged files give each bucket back as its rows, are made once, and are never taken for others."""

import io
import re
import zlib
from collections import defaultdict
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from pipeline.errors import RunError
from pipeline.plan.units import ScoreFile
from pipeline.rank import buckets
from pipeline.rank.buckets import INDEX, encode_by_bucket, find_buckets
from pipeline.rank.merge import MergeGroup, count_buckets, cut_groups
from pipeline.score.files import SCHEMA, StoredScores, encode_scores, get_schema
from pipeline.sizes import Sizes
from pipeline.storage.folder import Folder
from tests.pipeline.rank.stored import BUCKETS, MERGED, name, reader, rows_of_file, unit_of
from tests.s3_counter import record_requests


def put_units(folder: Folder, *rows: int) -> list[StoredScores]:
    """Score files of these numbers of rows, each of its own input file."""
    stored = []
    for number, count in enumerate(rows):
        found = ScoreFile(name(unit_of(number, 0, count)), unit_of(number, 0, count), False)
        data = encode_scores(pa.Table.from_pylist(rows_of_file(number, count), SCHEMA))
        folder.put_new(found.name, data)
        stored.append(StoredScores(found, number, len(data)))
    return stored


def by_bucket(*rows: int) -> dict[int, list[dict[str, Any]]]:
    """The rows of each bucket, in the order of the units."""
    buckets = defaultdict(list)
    for number, count in enumerate(rows):
        for row in rows_of_file(number, count):
            buckets[zlib.crc32((row["query_id"] or "").encode()) % BUCKETS].append(row)
    return buckets


def merged(rows: pa.Table, buckets: int) -> bytes:
    data, index = encode_by_bucket(rows, find_buckets(rows["query_id"], buckets), buckets)
    assert data[-index.nbytes :].to_pybytes() == index.astype(INDEX).tobytes()
    return data.to_pybytes()


@pytest.fixture(params=["local", "s3"])
def scores(request: pytest.FixtureRequest, tmp_path: Path) -> Folder:
    """The folder of all scores on local disk and on S3."""
    if request.param == "local":
        return Folder(str(tmp_path / "scores"))
    request.getfixturevalue("s3_server")
    return Folder(f"s3://bucket/{tmp_path.name}/scores")


@pytest.mark.parametrize("group_rows", [1, 45, 1000], ids=["a group a unit", "two groups", "one group"])
def test_each_bucket_comes_back_as_its_rows(scores: Folder, group_rows: int) -> None:
    counts = [20, 15, 1, 30]
    read = reader(scores, put_units(scores, *counts), sizes=Sizes(merged_rows=group_rows))
    assert len(scores.files(MERGED)) == {1: 4, 45: 2, 1000: 1}[group_rows]
    for bucket, expected in by_bucket(*counts).items():
        assert read(bucket).to_pylist() == expected
        assert read(bucket).schema == get_schema(explain=False)


def test_one_bucket_is_read_from_the_score_files(scores: Folder) -> None:
    read = reader(scores, put_units(scores, 20, 15), buckets=1)
    assert read(0).to_pylist() == rows_of_file(0, 20) + rows_of_file(1, 15)
    assert not scores.files(MERGED)


def test_a_bucket_without_rows_is_empty(tmp_path: Path) -> None:
    scores = Folder(str(tmp_path))
    read = reader(scores, put_units(scores, 1))
    rows = [len(read(bucket)) for bucket in range(BUCKETS)]
    assert rows == [int(bucket == zlib.crc32(b"q0") % BUCKETS) for bucket in range(BUCKETS)]


def test_what_the_model_wrote_comes_along(tmp_path: Path) -> None:
    scores, texts = Folder(str(tmp_path)), [None, "because", "é" * 5000]
    table = pa.Table.from_pylist(rows_of_file(0, 3), SCHEMA).append_column(
        "explanation", pa.array(texts, pa.large_string())
    )
    found, data = ScoreFile(name(unit_of(0, 0, 3)), unit_of(0, 0, 3), False), encode_scores(table)
    scores.put_new(found.name, data)
    read = reader(scores, [StoredScores(found, 0, len(data))], explain=True)
    assert read(0).schema == get_schema(explain=True)
    rows = [row for bucket in range(BUCKETS) for row in read(bucket).to_pylist()]
    assert {row["row"]: row["explanation"] for row in rows} == dict(enumerate(texts))


def test_a_merged_file_is_an_arrow_stream_of_a_batch_a_bucket() -> None:
    data = merged(pa.Table.from_pylist(rows_of_file(0, 30), get_schema(explain=False)), BUCKETS)
    batches = list(pa.ipc.open_stream(io.BytesIO(data)))
    assert [batch.to_pylist() for batch in batches] == [by_bucket(30)[bucket] for bucket in range(BUCKETS)]


def test_the_name_tells_what_a_merged_file_was_made_from() -> None:
    def name_of(*numbers: int, buckets: int = 5, transient: bool = False, start: int = 0) -> str:
        units = [unit_of(number, 0, 3) for number in numbers]
        stored = [
            StoredScores(ScoreFile(name(unit, transient), unit, transient), start + at, 7)
            for at, unit in enumerate(units)
        ]
        (group,) = cut_groups(stored, buckets, Sizes())
        return group.name

    names = {name_of(1, 2), name_of(1, 3), name_of(2, 1), name_of(1), name_of(1, 2, buckets=6)}
    names |= {name_of(1, 2, transient=True), name_of(1, 2, start=1)}
    assert len(names) == 7
    assert name_of(1, 2) in names  # and it is the same for ever
    assert all(re.fullmatch(r"[0-9a-f]{16}\.arrow", name) for name in names)


def test_a_merge_that_was_stopped_goes_on(scores: Folder) -> None:
    counts, sizes = [20, 15], Sizes(merged_rows=20)
    stored = put_units(scores, *counts)
    MergeGroup(scores, scores.below(MERGED.rstrip("/")), BUCKETS, False)(cut_groups(stored, BUCKETS, sizes)[0])
    scores.delete([stored[0].file.name])  # what was merged is not read again
    read = reader(scores, stored, sizes=sizes)
    for bucket, expected in by_bucket(*counts).items():
        assert read(bucket).to_pylist() == expected


def test_of_two_that_merge_the_same_the_first_stays(tmp_path: Path) -> None:
    """Its index is the one that counts: another pyarrow may compress to other lengths."""
    scores = Folder(str(tmp_path))

    class Overtaken(Folder):
        def put_new(self, name: str, data: bytes | pa.Buffer) -> bool:
            rows = pa.Table.from_pylist(rows_of_file(0, 20), get_schema(explain=False))
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(buckets, "COMPRESSION", None)
                Folder(self.url).put_new(name, merged(rows, BUCKETS))
            return super().put_new(name, data)

    read = reader(scores, put_units(scores, 20), into=Overtaken)
    for bucket, expected in by_bucket(20).items():
        assert read(bucket).to_pylist() == expected


def test_a_merged_file_that_has_gone_is_named(scores: Folder) -> None:
    read = reader(scores, put_units(scores, 20))
    (file,) = scores.files(MERGED)
    scores.delete([file])
    with pytest.raises(RunError, match=f"{file}: has gone"):
        read(0)


def test_a_group_and_a_bucket_take_a_request_for_each_file(s3_server: str) -> None:
    scores = Folder("s3://bucket/requests/scores")
    stored = put_units(scores, 20, 15, 30)
    with record_requests() as merging:
        read = reader(scores, stored, sizes=Sizes(merged_rows=35))
    assert len(merging.gets) == 3  # each score file; the index of a file that was put here is known
    with record_requests() as reading:
        read(0)
    assert len(reading) == len(reading.gets) == 2
    assert reading.bytes < sum(scores.files(MERGED).values()) / 2


@pytest.mark.parametrize(
    ("explain", "carried", "buckets"),
    [
        (False, False, {0: 1, 1: 1, 500_000: 1, 500_001: 2, 1_000_000: 2, 1_000_001: 3, 10**9: 2000}),
        (True, False, {1: 1, 50_000: 1, 50_001: 2, 500_000: 10}),
        (True, True, {50_001: 2}),
        (False, True, {1: 1, 100_001: 2, 2 * 10**8: 2000, 6 * 10**8: 2000, 10**9: 2000, 2 * 10**9: 4000}),
    ],
)
def test_buckets_follow_from_the_rows_and_what_each_holds(
    explain: bool, carried: bool, buckets: dict[int, int]
) -> None:
    assert {rows: count_buckets(rows, Sizes(), explain, carried) for rows in buckets} == buckets
