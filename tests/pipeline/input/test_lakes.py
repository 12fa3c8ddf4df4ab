"""pipeline/input/lakes.py: tables whose list of files is not their truth are refused, however they are given."""

from pathlib import Path

import pytest

from pipeline.errors import UsageError
from pipeline.input.listing import list_inputs
from tests.s3_counter import record_requests

# A file of its log, below the table, and what the line calls it.
LOGS = {
    "Delta": ("_delta_log/00000000000000000000.json", "a Delta table"),
    "Delta's checkpoints alone": ("_delta_log/00000000000000000010.checkpoint.parquet", "a Delta table"),
    "Iceberg": ("metadata/00002-5a1c.metadata.json", "an Iceberg table"),
    "Iceberg, compressed": ("metadata/00002-5a1c.gz.metadata.json", "an Iceberg table"),
    "Iceberg, by Hadoop": ("metadata/v3.metadata.json", "an Iceberg table"),
    "Hudi": (".hoodie/hoodie.properties", "a Hudi table"),
    "Spark's stream": ("_spark_metadata/0", "what a Spark stream has written"),
}
GIVEN = [
    "table",
    "table/",
    "table/*",
    "table/*/*.parquet",
    "table/**/*.parquet",
    "*",
    "*/*/*.parquet",
    "",
    "table/data",
]
GIVEN += ["table/data", "table/data/*.parquet", "table/data/a*", "tab*/d*"]


def put(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"1")


@pytest.mark.parametrize("given", GIVEN)
@pytest.mark.parametrize("log, what", LOGS.values(), ids=LOGS)
def test_a_table_is_refused_with_what_it_is(log: str, what: str, given: str, tmp_path: Path) -> None:
    put(tmp_path, "table/data/a.parquet", f"table/{log}")
    with pytest.raises(UsageError) as error:
        list_inputs([f"{tmp_path}/{given}"])
    assert str(error.value).startswith(f"{tmp_path}/table: is {what}, and {log.partition('/')[0]}/ says which")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("given", ["s3://bucket/lake/table", "s3://bucket/lake/table/dt=1", "s3://bucket/lake/*/*/*"])
def test_a_table_on_a_store_is_refused(s3_server: str, given: str) -> None:
    import s3fs

    for name in ("dt=1/a.parquet", "_delta_log/0.json"):
        s3fs.S3FileSystem().pipe_file(f"bucket/lake/table/{name}", b"1")
    with pytest.raises(UsageError, match=r"^s3://bucket/lake/table: is a Delta table"):
        list_inputs([given])


@pytest.mark.parametrize("log", ["_delta_log/0.json", "metadata/v1.metadata.json", ".hoodie/x"])
def test_the_files_that_a_log_names_may_be_given(log: str, tmp_path: Path) -> None:
    put(tmp_path, "table/a.parquet", "table/b", f"table/{log}")
    assert len(list_inputs([f"{tmp_path}/table/a.parquet", f"{tmp_path}/table/b"])) == 2


@pytest.mark.parametrize(
    "beside",
    ["metadata/notes.json", "metadata/a.parquet", "_delta_log", "old_delta_log/0.json", "_old/_delta_log/0.json"],
)
def test_what_looks_like_a_table_and_is_none_is_read(beside: str, tmp_path: Path) -> None:
    put(tmp_path, "pairs/a.parquet", f"pairs/{beside}" if beside != "_delta_log" else "other/_delta_log/0.json")
    for given in ("pairs", "pairs/*.parquet", "pairs/a*"):
        assert f"{tmp_path}/pairs/a.parquet" in [file.path for file in list_inputs([f"{tmp_path}/{given}"])]


def test_looking_above_takes_a_request_for_each_mark_and_folder(s3_server: str) -> None:
    import s3fs

    for i in range(3):
        s3fs.S3FileSystem().pipe_file(f"bucket/above/pairs/{i}.parquet", b"1")
    with record_requests() as requests:
        list_inputs(["s3://bucket/above/pairs"])
    assert len(requests) == 1 + 2 * 4  # bucket and above
