"""After a commit files that the result has no use for go, and nothing that may be another driver's work."""

import os
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.check.preflight import Checked
from pipeline.config import Config
from pipeline.input.listing import InputFile, list_inputs
from pipeline.input.versions import add_footer_hashes
from pipeline.output.lease import hold
from pipeline.output.tidy import tidy
from pipeline.plan.units import Unit, hash_version, name_score_file
from pipeline.storage.folder import Folder
from pipeline.storage.urls import is_local

MINE, OTHER = "aaaaaaaaaaaaaaaa-vllm-0.32", "aaaaaaaaaaaaaaaa-vllm-0.31"  # run.accept allows the other
NOT_USABLE = "bbbbbbbbbbbbbbbb-vllm-0.32"
PARTS = {"parts": ["ranked/part-00000-0123456789ab.parquet"], "rejects": []}


class Store:
    """An input and an output. Files are written again and again, with as many rows and bytes, but never the same."""

    def __init__(self, url: str, make_config: Callable[..., Config], coarse: bool = False):
        self.input, self.coarse, self.written = Folder(f"{url}/in"), coarse, 0
        self.checked = Checked(make_config(self.input.url, output={"path": f"{url}/out"}), [], MINE)

    def write(self, name: str) -> InputFile:
        """Writes a file again. Returns it as a run lists it."""
        self.written += 1
        sink = pa.BufferOutputStream()
        pq.write_table(pa.table({"doc": [f"{self.written:06d}"]}), sink)
        self.input.put(f"{name}.parquet", sink.getvalue().to_pybytes())
        path = f"{self.input.url}/{name}.parquet"
        if is_local(path):
            changed = 1_764_200_000 + (0 if self.coarse else self.written + 0.25)
            os.utime(path, (changed, changed))
        return add_footer_hashes(list_inputs([path]))[0]

    def put_scores(self, file: InputFile, fingerprint: str = MINE, retry: int = 0, transient: bool = False) -> str:
        unit = Unit(hash_version(file), 1, 0, 1, retry)
        name = f"{fingerprint}/{name_score_file(unit.name, transient)}"
        self.checked.all_scores.put_new(name, b"scores")
        return name

    def tidy(self, files: list[InputFile], stored: list[str]) -> set[str]:
        """Tidies up after a result of these files. Returns the names of all score files that are left."""
        result: dict[str, Any] = PARTS | {"input": [asdict(file) | {"rows": 1} for file in files]}
        with hold(self.checked.output) as lease:
            tidy(self.checked, lease, result, stored)
        return {*self.checked.all_scores.files()}


@pytest.fixture(params=["local", "coarse", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path, make_config: Callable[..., Config]) -> Store:
    """coarse: a local disk that knows time to the second."""
    if request.param == "s3":
        request.getfixturevalue("s3_server")
        return Store(f"s3://bucket/{tmp_path.name}", make_config)
    return Store(str(tmp_path), make_config, coarse=request.param == "coarse")


def test_scores_of_earlier_versions_go_and_all_others_stay(store: Store) -> None:
    old, other, foreign = store.write("a"), store.write("b"), store.write("not in the result")
    stale = [store.put_scores(old), store.put_scores(old, OTHER)]
    stale += [store.put_scores(old, transient=True), store.put_scores(old, retry=1)]
    new = store.write("a")
    used = [store.put_scores(new), store.put_scores(new, retry=1, transient=True), store.put_scores(other)]
    used += [store.put_scores(new, OTHER)]
    beside = [store.put_scores(foreign)]
    store.write("not in the result")  # so even its scores are of an earlier version
    stored = [*stale, *used, *beside, f"{MINE}/notes.parquet"]
    put_later = [store.put_scores(old, retry=2)]  # by another driver: the first listing of this run did not show it
    not_usable = [store.put_scores(old, NOT_USABLE)]
    store.checked.all_scores.put(f"{MINE}/notes.parquet", b"")
    assert store.tidy([new, other], stored) == {*used, *beside, *put_later, *not_usable, f"{MINE}/notes.parquet"}


def test_while_the_file_is_a_newer_one_nothing_of_it_goes(store: Store) -> None:
    """Another driver may score the newer one already, or fuse the older one."""
    old, mine = store.write("a"), store.write("a")
    of_old, of_mine = store.put_scores(old), store.put_scores(mine)
    newer = store.put_scores(store.write("a"))
    assert store.tidy([mine], [of_old, of_mine, newer]) == {of_old, of_mine, newer}


def test_where_the_file_is_gone_nothing_of_it_goes(store: Store) -> None:
    old, mine = store.write("a"), store.write("a")
    kept = [store.put_scores(old), store.put_scores(mine)]
    store.input.delete(["a.parquet"])
    assert store.tidy([mine], kept) == {*kept}


def test_parts_of_other_results_and_merged_files_go(store: Store) -> None:
    output, file = store.checked.output, store.write("a")
    merged = [f"scores/{fingerprint}/merged/0.arrow" for fingerprint in (MINE, OTHER, NOT_USABLE)]
    kept = [*PARTS["parts"], f"scores/{store.put_scores(file)}", "notes.txt", merged[2]]
    for name in [*PARTS["parts"], "notes.txt", merged[2]]:
        output.put(name, b"kept")
    for name in ["ranked/part-00007-00000000beef.parquet", *merged[:2]]:
        output.put(name, b"left over")
    store.tidy([file], [f"{OTHER}/merged/0.arrow"])  # an earlier run with scores of both was killed
    assert {*output.files()} == {*kept}


def test_what_another_run_put_after_it_took_the_place_stays(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The listing of a run that was cut off from its store for a while shows the result of the run that has it now."""
    output, mine = store.checked.output, store.write("a")
    part, merged = "ranked/part-00000-00000000beef.parquet", f"{MINE}/merged/0.arrow"

    def stall(folder: Folder, prefix: str = "") -> dict[str, int]:
        if prefix == "ranked/":
            output.put("lease/000002.json", b'{"token": "of another run"}')
            output.put(part, b"of it")
            store.checked.all_scores.put(merged, b"of it")
        return whole(folder, prefix)

    whole = Folder.files
    with hold(output) as lease, monkeypatch.context() as patch:
        patch.setattr(Folder, "files", stall)
        tidy(store.checked, lease, PARTS | {"input": [asdict(mine)]}, [merged])
    assert {part, f"scores/{merged}"} <= {*output.files()}


@pytest.mark.parametrize("folder", ["lease", "ranked", "rejects", f"scores/{MINE}"])
def test_what_killed_processes_left_half_written_goes(store: Store, folder: str) -> None:
    output = store.checked.output
    if not is_local(output.url):
        pytest.skip("an object appears whole")
    left, recent = (Path(output.url, folder, f".put-{digit * 16}") for digit in "ab")
    left.parent.mkdir(parents=True)
    for file in (left, recent):
        file.touch()
    os.utime(left, (0, 0))
    store.tidy([], [])
    assert not left.exists() and recent.exists(), "a put of an hour may still go on"


def test_a_run_that_lost_its_place_deletes_nothing(store: Store, capsys: pytest.CaptureFixture) -> None:
    """Merged files, and parts that the manifest does not name, may be those of the run that has it now."""
    old, mine = store.write("a"), store.write("a")
    stored = [store.put_scores(old), store.put_scores(mine)]
    output, result = store.checked.output, PARTS | {"input": [asdict(mine)]}
    output.put("ranked/part-00007-00000000beef.parquet", b"")
    store.checked.merged.put("0.arrow", b"")
    with hold(output) as lease:
        output.put("lease/000002.json", b'{"token": "of another run"}')
        before = {*output.files()}
        tidy(store.checked, lease, result, stored)
        assert {*output.files()} == before
    assert "the result stands; what is left over goes with the next run: " in capsys.readouterr().err
