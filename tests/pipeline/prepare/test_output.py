"""pipeline/prepare/output.py: a folder of shards is whole or says that it is not, and nothing else is deleted."""

import json
from pathlib import Path

import pytest

from pipeline.errors import UsageError
from pipeline.input.listing import list_inputs
from pipeline.prepare.output import begin, check_output, finish
from pipeline.storage.folder import Folder


@pytest.fixture(params=["local", "s3"])
def output(request: pytest.FixtureRequest, tmp_path: Path) -> Folder:
    if request.param == "local":
        return Folder(str(tmp_path / "pairs"))
    request.getfixturevalue("s3_server")
    return Folder(f"s3://bucket/{tmp_path.name}/pairs")


def made(output: Folder, *names: str) -> None:
    begin(output, check_output(output, True, []))
    for name in names:
        output.put(name, b"x")
    finish(output, {"pairs": 7})


def test_a_folder_is_refused_by_the_job_until_it_is_finished(output: Folder) -> None:
    begin(output, check_output(output, False, []))
    output.put("part-00000.parquet", b"x")
    output.put("_work/run/a.arrow", b"x")
    with pytest.raises(UsageError, match=f"{output.url}: jobs/prepare.py has not finished it"):
        list_inputs([output.url])
    finish(output, {"pairs": 7})
    assert [file.path for file in list_inputs([output.url])] == [f"{output.url}/part-00000.parquet"]
    assert list(output.files()) == ["_prepare.json", "part-00000.parquet"]
    assert json.loads(output.read("_prepare.json")) == {"pairs": 7}


def test_shards_are_replaced_only_when_that_is_wanted(output: Folder) -> None:
    made(output, "part-00000.parquet", "part-00001.parquet", "_unknown/docs-00000.tsv")
    with pytest.raises(UsageError, match=r"has shards already; --overwrite replaces them"):
        check_output(output, False, [])
    made(output, "part-00000.parquet")
    assert list(output.files()) == ["_prepare.json", "part-00000.parquet"]


def test_what_a_run_left_unfinished_is_thrown_away_without_asking(output: Folder) -> None:
    begin(output, [])
    for name in ("part-00009.parquet", "_work/run/a.arrow", "lease/000001.json"):
        output.put(name, b"x")
    begin(output, check_output(output, False, []))
    assert list(output.files()) == ["_unfinished", "lease/000001.json"]


@pytest.mark.parametrize("name", ["notes.txt", "pairs.parquet", "ranked/part-00000.parquet", "a/part-00000.parquet"])
def test_a_folder_with_other_files_is_refused_whatever_is_said(output: Folder, name: str) -> None:
    output.put(name, b"mine")
    with pytest.raises(UsageError, match=f"--output = '{output.url}': holds {name}, which is no shard"):
        check_output(output, True, [])
    assert output.read(name) == b"mine"


def test_an_output_that_holds_an_input_is_refused(output: Folder) -> None:
    with pytest.raises(UsageError, match=f"holds {output.url}/part-00000.parquet, which is read"):
        check_output(output, True, [f"{output.url}/part-00000.parquet"])
