"""pipeline/input/result.py: the result of a run as input is what its manifest names, on local disk and on S3."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.errors import UsageError
from pipeline.input.listing import InputFile, list_inputs, read_listing
from pipeline.plan.changes import find_changes
from pipeline.storage.folder import Folder

NEW = [f"ranked/part-{i:05d}-00000000beef.parquet" for i in range(3)]
OLD = [f"ranked/part-{i:05d}-00000000dead.parquet" for i in range(2)]
WAYS = ["ranked", "ranked/", "ranked/*.parquet", "ranked/part-*", "rank*/*", "rank*"]


@pytest.fixture(params=["local", "s3"])
def output(request: pytest.FixtureRequest, tmp_path: Path) -> Folder:
    """A finished result, with two parts of the one before, which a run has not deleted yet."""
    if request.param == "s3":
        request.getfixturevalue("s3_server")
    output = Folder(f"s3://bucket/{tmp_path.name}/out" if request.param == "s3" else f"{tmp_path}/out")
    manifest = json.dumps({"parts": NEW, "rejects": []}).encode()
    for part in NEW + OLD:
        output.put(part, part.encode())
    output.put("manifest.json", manifest)
    output.put("_SUCCESS", hashlib.sha256(manifest).hexdigest().encode() + b"\n")
    output.put("scores/0123456789abcdef-vllm-0.32/x.parquet", b"x")
    return output


def read(output: Folder, way: str) -> list[str]:
    return [file.path.removeprefix(f"{output.url}/") for file in list_inputs([f"{output.url}/{way}"])]


@pytest.mark.parametrize("way", WAYS)
def test_parts_that_the_manifest_does_not_name_are_passed_over(way: str, output: Folder) -> None:
    files, passed_over = read_listing([f"{output.url}/{way}"])
    assert [file.path for file in files] == [output.path(part) for part in NEW]
    assert passed_over == {output.path("manifest.json"): 2}


def test_a_part_given_by_its_name_is_read_where_the_manifest_names_it(output: Folder) -> None:
    files = list_inputs([output.path(NEW[1]), output.path(OLD[1])])
    assert [file.path for file in files] == [output.path(NEW[1])]


@pytest.mark.parametrize("way", [*WAYS, NEW[0]])
@pytest.mark.parametrize("lost", [["_SUCCESS"], ["manifest.json"], ["_SUCCESS", "manifest.json"]])
def test_a_run_without_a_finished_result_is_refused(lost: list[str], way: str, output: Folder) -> None:
    output.delete(lost)
    with pytest.raises(UsageError, match=r"^\S*/out/ranked: its run has no finished result .*run again first$"):
        read(output, way)


def test_a_manifest_of_another_result_is_refused(output: Folder) -> None:
    output.put("manifest.json", json.dumps({"parts": OLD}).encode())
    with pytest.raises(UsageError, match="its run has no finished result"):
        read(output, "ranked")


def test_a_part_that_is_gone_is_named(output: Folder) -> None:
    output.delete([NEW[1]])
    with pytest.raises(UsageError, match=rf"^\S*/out/{NEW[1]}: is gone, and manifest.json names it"):
        read(output, "ranked")
    assert read(output, "ranked/*0-*.parquet") == [NEW[0]]  # some of them were asked for


def test_a_copy_without_its_run_is_a_plain_folder(output: Folder) -> None:
    output.delete(["_SUCCESS", "manifest.json", "scores/0123456789abcdef-vllm-0.32/x.parquet"])
    if not output.url.startswith("s3"):
        (Path(output.url) / "scores/0123456789abcdef-vllm-0.32").rmdir()
        (Path(output.url) / "scores").rmdir()
    assert read(output, "ranked") == sorted(NEW + OLD)


def test_a_folder_of_that_name_with_other_files_is_a_plain_folder(tmp_path: Path) -> None:
    for name in ("ranked/day-1.parquet", "ranked/part-0.parquet", "manifest.json"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"1")
    assert len(list_inputs([f"{tmp_path}/ranked"])) == 2


def test_parts_of_an_older_result_do_not_come_back_by_its_manifest(output: Folder, make_config: Callable) -> None:
    """A run over the result before knew them as its input; now only a listing lags that shows them no more."""
    before = {"input": [{"path": output.path(part), "size": len(part), "version": "1"} for part in OLD]}
    config = make_config(output.path("ranked"), run={"on_gone": "drop"})
    files, changes = find_changes(config, list_inputs(config.input.path), before)
    assert {file.path for file in files} == {output.path(part) for part in NEW}
    assert changes.gone == [output.path(part) for part in OLD] and isinstance(files[0], InputFile)
