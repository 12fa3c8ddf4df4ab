"""A reader finds a whole result or none: while a result is replaced, and after a crash at any step of that."""

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import UsageError
from pipeline.input.result import read_result
from pipeline.output.commit import (
    commit,
    has_all_parts,
    list_unnamed_parts,
    read_last_manifest,
    restore_result,
    withdraw_result,
)
from pipeline.storage.folder import Folder

OLD = {
    "tag": "old",
    "parts": ["ranked/part-00000-0123456789ab.parquet", "ranked/part-00001-0123456789ab.parquet"],
    "rejects": [],
    "fingerprint": "0" * 16,
    "input": [],
}
NEW = {
    "tag": "new",
    "parts": ["ranked/part-00000-fedcba987654.parquet", "ranked/part-00001-fedcba987654.parquet"],
    "rejects": ["rejects/part-00001-fedcba987654.parquet"],
    "fingerprint": "0" * 16,
    "input": [],
}


@dataclass(frozen=True)
class Watched(Folder):
    """A folder that records each file that was put or deleted, and then calls `after`."""

    after: Callable[[], None] = lambda: None
    done: list[str] = field(default_factory=list)

    def put_new(self, name: str, data: bytes) -> bool:
        return self._then("put", name, super().put_new(name, data))

    def put(self, name: str, data: bytes) -> None:
        self._then("put", name, super().put(name, data))

    def delete(self, names: list[str]) -> None:
        for name in names:
            self._then("delete", name, super().delete([name]))

    def _then(self, what: str, name: str, result: Any) -> Any:
        self.done.append(f"{what} {name}")
        self.after()
        return result


def write(output: Folder, result: dict[str, Any]) -> None:
    """All that a run writes: the standing result is withdrawn, parts are put, and the new result is committed."""
    withdraw_result(output)
    for name in result["parts"] + result["rejects"]:
        output.put_new(name, f"{name} of {result['tag']}".encode())
    commit(output, result)
    output.delete(list_unnamed_parts(output, result))


def read(url: str) -> str | None:
    """The id of the result that a reader finds, once it has read every part."""
    folder = Folder(url)
    manifest = read_result(folder)
    if manifest is None:
        return None
    for name in manifest["parts"] + manifest["rejects"]:
        assert folder.read(name) == f"{name} of {manifest['tag']}".encode()
    return manifest["tag"]


def test_a_reader_finds_what_was_committed(tmp_path: Path) -> None:
    url = str(tmp_path)
    assert read_result(Folder(url)) is None
    write(Folder(url), OLD)
    assert read_result(Folder(url)) == OLD
    write(Folder(url), NEW)
    assert read_result(Folder(url)) == NEW


def test_success_holds_the_hash_of_the_manifest(tmp_path: Path) -> None:
    write(Folder(str(tmp_path)), OLD)
    manifest = (tmp_path / "manifest.json").read_bytes()
    assert json.loads(manifest) == OLD
    assert (tmp_path / "_SUCCESS").read_text() == hashlib.sha256(manifest).hexdigest() + "\n"


def test_the_order_of_a_re_rank(tmp_path: Path) -> None:
    write(Folder(str(tmp_path)), OLD)
    output = Watched(str(tmp_path))
    write(output, NEW)
    assert output.done == [
        "delete _SUCCESS",
        "put ranked/part-00000-fedcba987654.parquet",
        "put ranked/part-00001-fedcba987654.parquet",
        "put rejects/part-00001-fedcba987654.parquet",
        "put manifest.json",
        "put _SUCCESS",
        "delete ranked/part-00000-0123456789ab.parquet",
        "delete ranked/part-00001-0123456789ab.parquet",
    ]


def test_a_reader_at_each_step_finds_a_whole_result_or_none(tmp_path: Path) -> None:
    url = str(tmp_path)
    write(Folder(url), OLD)
    seen = [read(url)]
    write(Watched(url, after=lambda: seen.append(read(url))), NEW)
    assert seen == ["old", None, None, None, None, None, "new", "new", "new"]


def test_the_last_manifest_is_there_after_its_result_was_withdrawn(tmp_path: Path) -> None:
    """So a run knows which files were in the result before, whatever became of the runs between."""
    output, seen = Folder(str(tmp_path)), []
    assert read_last_manifest(output) is None
    write(output, OLD)
    write(Watched(output.url, after=lambda: seen.append((read_last_manifest(output) or {})["tag"])), NEW)
    assert seen == ["old"] * 4 + ["new"] * 4
    withdraw_result(output)
    assert read_result(output) is None and read_last_manifest(output) == NEW


@pytest.mark.parametrize("missing", [None, *NEW["parts"], *NEW["rejects"]])
def test_a_result_has_all_parts_or_not(tmp_path: Path, missing: str | None) -> None:
    output = Folder(str(tmp_path))
    write(output, NEW)
    output.delete([missing] if missing else [])
    assert has_all_parts(output, NEW) == (missing is None)


@pytest.mark.parametrize(
    ("lost", "stands"),
    [
        ([], True),
        (["notes.txt"], True),
        (OLD["parts"][:1], False),
        (OLD["parts"][1:], False),
        (["manifest.json"], False),
    ],
    ids=["all is there", "another file", "a part", "another part", "the manifest"],
)
def test_a_result_that_was_withdrawn_can_be_restored_if_all_of_it_is_there(
    lost: list[str], stands: bool, tmp_path: Path
) -> None:
    output = Folder(str(tmp_path))
    write(output, OLD)
    withdraw_result(output)
    output.delete(lost)
    restore_result(output, OLD)
    assert (read_result(output) == OLD) == stands


def test_the_result_before_the_last_is_not_restored(tmp_path: Path) -> None:
    output = Folder(str(tmp_path))
    write(output, OLD)
    write(output, NEW)
    withdraw_result(output)
    restore_result(output, OLD)
    assert read_result(output) is None


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b'{"name": "an app", "icons": []}', b'{"fingerprint": "x"}'])
def test_a_manifest_of_something_else_is_not_replaced(tmp_path: Path, data: bytes) -> None:
    output = Folder(str(tmp_path))
    output.put("manifest.json", data)
    with pytest.raises(UsageError, match=r"manifest\.json: is not of rayrank; choose another output\.path"):
        read_last_manifest(output)


def test_a_runs_manifest_that_was_cut_short_is_said_and_made_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = Folder(str(tmp_path))
    output.put("scores/0123456789abcdef-vllm-0.32/unit.parquet", b"")
    output.put("manifest.json", b"{")
    assert read_last_manifest(output) is None
    assert "manifest.json: is cut short; the result is made again from its scores" in capsys.readouterr().err


@pytest.mark.parametrize("steps", range(1, 9))
def test_after_a_crash_at_any_step_the_next_run_ends_well(tmp_path: Path, steps: int) -> None:
    def crash() -> None:
        if len(output.done) == steps:
            raise KeyboardInterrupt

    url = str(tmp_path)
    write(Folder(url), OLD)
    output = Watched(url, after=crash)
    with pytest.raises(KeyboardInterrupt):
        write(output, NEW)
    assert read(url) == (None if steps < 6 else "new")
    write(Folder(url), NEW)
    assert read(url) == "new"
    assert {*Folder(url).files()} == {*NEW["parts"], *NEW["rejects"], "manifest.json", "_SUCCESS"}


def test_stale_parts_go_and_everything_else_stays(tmp_path: Path) -> None:
    output = Folder(str(tmp_path))
    write(output, NEW)
    mine = ["scores/0123456789abcdef-vllm-0.32/unit.parquet", "notes.txt", "ranked.txt", "ranked/notes.parquet"]
    for name in mine:
        output.put_new(name, b"kept")
    output.put_new("ranked/part-00007-00000000beef.parquet", b"of a run that crashed")
    write(output, OLD)
    assert {*output.files()} == {*OLD["parts"], "manifest.json", "_SUCCESS", *mine}


@pytest.mark.parametrize(
    "success",
    [b"", b"\n", b"0" * 64, hashlib.sha256(b"another manifest").hexdigest().encode(), b"PAR1\xff\xfe"],
    ids=["empty, as Spark writes it", "a line", "a hash", "another hash", "no text"],
)
def test_a_manifest_that_success_does_not_name_counts_as_none(tmp_path: Path, success: bytes) -> None:
    write(Folder(str(tmp_path)), OLD)
    (tmp_path / "_SUCCESS").write_bytes(success)
    assert read_result(Folder(str(tmp_path))) is None


@pytest.mark.parametrize("missing", ["_SUCCESS", "manifest.json"])
def test_one_of_the_two_files_alone_counts_as_none(tmp_path: Path, missing: str) -> None:
    write(Folder(str(tmp_path)), OLD)
    (tmp_path / missing).unlink()
    assert read_result(Folder(str(tmp_path))) is None


def test_a_manifest_that_was_changed_afterwards_counts_as_none(tmp_path: Path) -> None:
    write(Folder(str(tmp_path)), OLD)
    with open(tmp_path / "manifest.json", "ab") as file:
        file.write(b" ")
    assert read_result(Folder(str(tmp_path))) is None


def test_a_reader_that_is_overtaken_between_two_files_finds_none(tmp_path: Path) -> None:
    """It reads one of the two files before the result is replaced, and the other one afterwards."""

    class Overtaken(Folder):
        def read(self, name: str) -> bytes:
            data = super().read(name)
            write(Folder(self.url), next(results))
            return data

    results: Iterator[dict[str, Any]] = iter([NEW, OLD])
    write(Folder(str(tmp_path)), OLD)
    assert read_result(Overtaken(str(tmp_path))) is None


def test_a_result_that_is_not_there_can_be_withdrawn(tmp_path: Path) -> None:
    withdraw_result(Folder(str(tmp_path)))
    assert list(tmp_path.iterdir()) == []
