"""pipeline/input/names.py: which names are data, and what is passed over for its name is counted."""

from pathlib import Path

import pytest

from pipeline.errors import UsageError
from pipeline.input.listing import list_inputs, read_listing
from pipeline.input.names import would_list

# A file that lies in a folder beside part-0.parquet, and the glob below it that reads it; None where it holds no data.
PASSED_OVER = [
    ("part-1.parq", "*.parq"),
    ("part-1.pq", "*.pq"),
    ("part-1.parquet.snappy", "*.snappy"),
    ("20260101_144951_00037_v74wa_1ad6", "*"),  # as Trino names files
    ("part.1.2", "*"),
    ("dt=2026-01-01/part-1.parq", "**/*.parq"),
    ("dt=2026-01-01/a/000000_0", "**/*"),
    ("_part-1.parquet", "_*.parquet"),
    (".part-1.parquet", ".*.parquet"),
    ("_old/part-1.parquet", "_old/**/*.parquet"),
    ("dt=1/_old/deeper/part-1.parquet", "**/_old/**/*.parquet"),
    ("_SUCCESS", None),
    ("_metadata", None),
    (".part-0.parquet.crc", None),
    ("empty", None),
]


@pytest.mark.parametrize("name, glob", PASSED_OVER, ids=[name for name, _ in PASSED_OVER])
def test_what_is_passed_over_for_its_name_is_counted_with_the_glob_that_reads_it(
    name: str, glob: str | None, tmp_path: Path
) -> None:
    for file in ("part-0.parquet", name):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_bytes(b"" if file == "empty" else b"1")
    files, passed_over = read_listing([str(tmp_path)])
    assert [file.path for file in files] == [f"{tmp_path}/part-0.parquet"]
    assert passed_over == ({f"{tmp_path}/{glob}": 1} if glob else {})
    if glob:
        assert f"{tmp_path}/{name}" in [file.path for file in list_inputs([f"{tmp_path}/{glob}"])]
        again = read_listing([str(tmp_path), f"{tmp_path}/{glob}"])
        assert len(again.files) == 2 and not again.passed_over


def test_a_glob_passes_over_hidden_matches(tmp_path: Path) -> None:
    for name in ("a.parquet", "_b.parquet", ".c.parquet", "_SUCCESS"):
        (tmp_path / name).write_bytes(b"1")
    files, passed_over = read_listing([f"{tmp_path}/*"])
    assert len(files) == 1
    assert passed_over == {f"{tmp_path}/_*.parquet": 1, f"{tmp_path}/.*.parquet": 1}


def test_the_line_about_a_folder_without_parquet_names_three_globs_at_most(tmp_path: Path) -> None:
    for name in ("a.pq", "b.pq", "c.parq", "d.snappy", "e.csv"):
        (tmp_path / name).write_bytes(b"1")
    line = r"no Parquet file there; .*: 2 that \S+/\*\.pq would read, 1 .*, and 1 more kinds of names"
    with pytest.raises(UsageError, match=line):
        list_inputs([str(tmp_path)])


@pytest.mark.parametrize("marker", ["hadoop/sub/", "hadoop/sub_$folder$", "hadoop/x.parquet/"])
@pytest.mark.parametrize("asked", ["", "/*", "/**", "/**/*.parquet"])
def test_objects_that_stand_for_folders_are_no_data(s3_server: str, marker: str, asked: str) -> None:
    import s3fs

    fs = s3fs.S3FileSystem()
    fs.call_s3("put_object", Bucket="bucket", Key=marker, Body=b"")
    fs.pipe_file("bucket/hadoop/sub/a.parquet", b"1")
    files, passed_over = read_listing([f"s3://bucket/hadoop{asked}"])
    assert [file.path for file in files] == ["s3://bucket/hadoop/sub/a.parquet"] and not passed_over
    fs.rm("bucket/hadoop", recursive=True)


@pytest.mark.parametrize(
    ("given", "path", "listed"),
    [
        ("/in", "/in/a.parquet", True),
        ("/in", "/in/sub/a.PARQUET", True),
        ("/in", "/in/a.pq", False),
        ("/in", "/in/_a.parquet", False),
        ("/in", "/in/.sub/a.parquet", False),
        ("/in", "/input/a.parquet", False),
        ("/in/a.pq", "/in/a.pq", True),
        ("/in/_old", "/in/_old/a.parquet", True),
        ("/in/*", "/in/a.pq", True),
        ("/in/*", "/in/sub/a.parquet", True),
        ("/in/*", "/in/sub/a.pq", False),
        ("/in/*", "/in/_old/a.parquet", False),
        ("/in/_*", "/in/_old/a.parquet", True),
        ("/in/**/*.parquet", "/in/x/y/a.parquet", True),
        ("/in/**/*.parquet", "/in/x/_y/a.parquet", False),
        ("s3://bucket/day=*", "s3://bucket/day=1/a.parquet", True),
        ("/in/part[1].parquet", "/in/part[1].parquet", True),
    ],
)
def test_what_a_path_would_list(given: str, path: str, listed: bool) -> None:
    assert would_list(given, path) == listed
