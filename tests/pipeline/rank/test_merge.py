"""Merged files give each bucket back as its rows, are made once, and are never taken for others."""

import io
import re
import zlib
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from pipeline.cluster.in_process import InProcess
from pipeline.errors import RunError
from pipeline.rank import buckets
from pipeline.rank.buckets import INDEX, encode_by_bucket, find_buckets
from pipeline.rank.merge import MergeGroup, count_buckets, cut_groups, delete_merged, merge_scores
from pipeline.score.files import EXPLAINED, SCHEMA, encode_scores
from pipeline.sizes import Sizes
from pipeline.storage.folder import Folder
from tests.s3_counter import record_requests

PLAN, BUCKETS = "plan", 5


def rows_of_unit(number: int, rows: int) -> list[dict[str, Any]]:
    """Rows of queries that other units have, too; some without a score, and a reject without a query."""
    lines = []
    for i in range(rows):
        row = {"file": number, "row": i, "query_id": f"q{(number * 3 + i) % 11}", "doc_id": f"dé{number}-{i}"}
        row |= {
            "first_stage_score": i / 4,
            "rerank_score": i / 8,
            "kind": "ok",
            "reason": None,
            "truncated": i % 5 == 0,
        }
        if i % 7 == 3:
            row |= {"rerank_score": None, "kind": "permanent", "reason": "document is empty"}
        if i % 7 == 6:
            row |= {"query_id": None, "rerank_score": None, "kind": "reject", "reason": "query_id is null"}
        lines.append(row)
    return lines


def put_units(folder: Folder, *rows: int, plan: str = PLAN, schema: pa.Schema = SCHEMA) -> dict[str, int]:
    """Score files of so many rows each. Name -> size."""
    for number, count in enumerate(rows):
        table = pa.Table.from_pylist(rows_of_unit(number, count), schema)
        folder.put_new(f"{number:06d}-0000.parquet", encode_scores(table, plan))
    return {name: size for name, size in folder.files().items() if name.endswith(".parquet")}


def by_bucket(*rows: int) -> dict[int, list[dict[str, Any]]]:
    """What each bucket has to hold, in the order of the units."""
    buckets = defaultdict(list)
    for number, count in enumerate(rows):
        for row in rows_of_unit(number, count):
            buckets[zlib.crc32((row["query_id"] or "").encode()) % BUCKETS].append(row)
    return buckets


def merged(rows: pa.Table, buckets: int) -> bytes:
    data, index = encode_by_bucket(rows, find_buckets(rows["query_id"], buckets), buckets)
    return data + index.astype(INDEX).tobytes()


Read = Callable[[int], pa.Table]


def reader(
    scores: Folder,
    units: dict[str, int],
    rows: list[int],
    buckets: int = BUCKETS,
    explain: bool = False,
    sizes: Sizes = Sizes(),
) -> Read:
    return merge_scores(scores, PLAN, units, rows, buckets, explain, InProcess(), sizes)


@pytest.fixture(params=["local", "s3"])
def scores(request: pytest.FixtureRequest, tmp_path: Path) -> Folder:
    """The folder of the scores on local disk and on S3."""
    if request.param == "local":
        return Folder(str(tmp_path / "scores"))
    request.getfixturevalue("s3_server")
    return Folder(f"s3://bucket/{tmp_path.name}/scores")


@pytest.mark.parametrize("group_rows", [1, 45, 1000], ids=["a group a unit", "two groups", "one group"])
def test_each_bucket_comes_back_as_its_rows(scores: Folder, group_rows: int) -> None:
    counts = [20, 15, 1, 30]
    units = put_units(scores, *counts)
    read = reader(scores, units, counts, sizes=Sizes(merged_rows=group_rows))
    assert len(scores.files("merged/")) == {1: 4, 45: 2, 1000: 1}[group_rows]
    for bucket, expected in by_bucket(*counts).items():
        assert read(bucket).to_pylist() == expected
        assert read(bucket).schema == SCHEMA


def test_one_bucket_is_read_from_the_score_files(scores: Folder) -> None:
    units = put_units(scores, 20, 15)
    assert reader(scores, units, [20, 15], buckets=1)(0).to_pylist() == rows_of_unit(0, 20) + rows_of_unit(1, 15)
    assert scores.files() == units


def test_a_bucket_without_rows_is_empty(tmp_path: Path) -> None:
    scores = Folder(str(tmp_path))
    read = reader(scores, put_units(scores, 1), [1])
    rows = [len(read(bucket)) for bucket in range(BUCKETS)]
    assert rows == [int(bucket == zlib.crc32(b"q0") % BUCKETS) for bucket in range(BUCKETS)]


def test_what_the_model_wrote_comes_along(tmp_path: Path) -> None:
    scores, texts = Folder(str(tmp_path)), [None, "because", "é" * 5000]
    table = pa.Table.from_pylist(rows_of_unit(0, 3), SCHEMA).append_column(
        "explanation", pa.array(texts, pa.large_string())
    )
    scores.put_new("a.parquet", encode_scores(table, PLAN))
    read = reader(scores, scores.files(), [3], explain=True)
    assert read(0).schema == EXPLAINED
    rows = [row for bucket in range(BUCKETS) for row in read(bucket).to_pylist()]
    assert {row["row"]: row["explanation"] for row in rows} == dict(enumerate(texts))


def test_a_merged_file_is_an_arrow_stream_of_a_batch_a_bucket() -> None:
    data = merged(pa.Table.from_pylist(rows_of_unit(0, 30), SCHEMA), BUCKETS)
    batches = list(pa.ipc.open_stream(io.BytesIO(data)))
    assert [batch.to_pylist() for batch in batches] == [by_bucket(30)[bucket] for bucket in range(BUCKETS)]


@pytest.mark.parametrize(
    "rows, sizes, names",
    [
        ([4, 4, 2, 1], [1, 1, 1, 1], ["abc", "d"]),
        ([10, 1, 9, 1], [1, 1, 1, 1], ["a", "bc", "d"]),
        ([99, 99], [1, 1], ["a", "b"]),
        ([1, 1, 1, 1], [60, 40, 1, 99], ["ab", "cd"]),
        ([1, 1, 1], [500, 1, 1], ["a", "bc"]),
        ([], [], []),
    ],
    ids=["full to the row", "one more", "units larger than a group", "full to the byte", "a large file", "no units"],
)
def test_groups_are_units_in_a_row_up_to_so_many_rows_and_bytes(
    rows: list[int], sizes: list[int], names: list[str]
) -> None:
    most = Sizes(merged_rows=10, merged_bytes=100)
    units = dict(zip("abcd", sizes, strict=False))
    assert ["".join(group.units) for group in cut_groups(units, rows, PLAN, BUCKETS, most)] == names


def test_the_name_tells_what_a_merged_file_was_made_from() -> None:
    units = {"a": 7, "b": 8}
    names = {
        cut_groups(*arguments, Sizes())[0].name
        for arguments in [
            (units, [1, 1], "plan", 5),
            (units, [1, 1], "another plan", 5),
            (units, [1, 1], "plan", 6),
            ({"a": 7, "b": 9}, [1, 1], "plan", 5),
            ({"a": 7, "c": 8}, [1, 1], "plan", 5),
            ({"a": 7}, [1], "plan", 5),
        ]
    }
    assert len(names) == 6
    assert cut_groups(units, [1, 1], "plan", 5, Sizes())[0].name in names  # and it is the same for ever


def test_a_merge_that_was_stopped_goes_on(scores: Folder) -> None:
    counts = [20, 15]
    units = put_units(scores, *counts)
    sizes = Sizes(merged_rows=20)
    MergeGroup(scores, PLAN, BUCKETS, False)(cut_groups(units, counts, PLAN, BUCKETS, sizes)[0])
    scores.delete(["000000-0000.parquet"])  # what was merged is not read again
    read = reader(scores, units, counts, sizes=sizes)
    for bucket, expected in by_bucket(*counts).items():
        assert read(bucket).to_pylist() == expected


def test_of_two_that_merge_the_same_the_first_stays(tmp_path: Path) -> None:
    """Its index is the one that counts: another pyarrow may compress to other lengths."""
    scores = Folder(str(tmp_path))
    units = put_units(scores, 20)

    class Overtaken(Folder):
        def put_new(self, name: str, data: bytes) -> bool:
            rows = pa.Table.from_pylist(rows_of_unit(0, 20), SCHEMA)
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(buckets, "COMPRESSION", None)
                scores.put_new(name, merged(rows, BUCKETS))
            return super().put_new(name, data)

    read = reader(Overtaken(scores.url), units, [20])
    for bucket, expected in by_bucket(20).items():
        assert read(bucket).to_pylist() == expected


def test_a_score_file_of_another_plan_is_refused_by_its_name(tmp_path: Path) -> None:
    scores = Folder(str(tmp_path))
    units = put_units(scores, 20, plan="another plan")
    with pytest.raises(RunError, match=r"000000-0000.parquet: was written for another plan"):
        reader(scores, units, [20])
    assert not scores.files("merged/")


def test_a_merged_file_that_has_gone_is_named(scores: Folder) -> None:
    read = reader(scores, put_units(scores, 20), [20])
    (name,) = scores.files("merged/")
    delete_merged(scores)
    with pytest.raises(RunError, match=f"{name}: has gone"):
        read(0)


def test_a_sweep_leaves_the_score_files(scores: Folder) -> None:
    units = put_units(scores, 20, 30)
    reader(scores, units, [20, 30])
    assert scores.files() != units
    delete_merged(scores)
    assert scores.files() == units


def test_a_group_and_a_bucket_take_a_request_for_each_file(s3_server: str) -> None:
    scores = Folder("s3://bucket/requests/scores")
    counts = [20, 15, 30]
    units = put_units(scores, *counts)
    with record_requests() as merging:
        read = reader(scores, units, counts, sizes=Sizes(merged_rows=35))
    assert len(merging.gets) == 3 + 2  # each score file, and the index of each merged file
    with record_requests() as reading:
        read(0)
    assert len(reading) == len(reading.gets) == 2
    assert reading.bytes < sum(scores.files("merged/").values()) / 2


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


def test_a_merged_file_is_named_by_a_hash() -> None:
    (group,) = cut_groups({"u.parquet": 10}, [3], PLAN, BUCKETS, Sizes())
    assert re.fullmatch(r"merged/[0-9a-f]{16}\.arrow", group.name)


def test_a_bucket_of_scores_alone_holds_half_a_million_rows() -> None:
    assert [count_buckets(rows, Sizes()) for rows in (0, 500_000, 500_001)] == [1, 1, 2]
