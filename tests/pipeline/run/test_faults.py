"""Whole runs while storage fails: the result of the undisturbed run, or one clear line and a resume."""

import subprocess
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import ray
from s3fs import S3FileSystem

from pipeline.cluster.contract import Cluster
from pipeline.cluster.in_process import InProcess
from pipeline.config import Config, parse
from pipeline.errors import StoreError
from pipeline.input.result import read_result
from pipeline.output.lease import hold
from pipeline.run import rerank
from pipeline.storage.folder import Folder
from tests.fakes import KnownScorer
from tests.pipeline.conftest import ROWS, SMALL, pairs, ranked, start_ray
from tests.s3_faults import EXPIRED, LAG, Faults, after, always, calm, in_front_of, some

UNIT_ROWS = 50
# A lease that stayed is this very process's, which is alive.
SHORT_LEASE = partial(hold, beat=0.5, stale=2)


@pytest.fixture(scope="module")
def store(s3_server: str) -> Iterator[Faults]:
    """The S3 server behind a proxy."""
    with in_front_of(s3_server, read_timeout=1.5) as store:
        store.late_seconds = 2.0
        yield store


@pytest.fixture(scope="module")
def on_ray(store: Faults) -> Iterator[None]:
    """A cluster whose workers know no other S3 server."""
    ray.shutdown()  # that of other tests, which know the server itself
    start_ray()
    yield
    ray.shutdown()


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pairs in two files."""
    folder, table = tmp_path_factory.mktemp("local") / "in", pairs()
    folder.mkdir()
    pq.write_table(table.slice(0, 400), folder / "a.parquet", row_group_size=100)
    pq.write_table(table.slice(400), folder / "b.parquet", row_group_size=100)
    return folder


@pytest.fixture
def place(s3_server: str, tmp_path: Path, local: Path) -> str:
    """A folder on S3 whose `in` has those files, put there past the proxy."""
    direct = S3FileSystem(endpoint_url=s3_server)
    for file in local.iterdir():
        direct.pipe_file(f"bucket/{tmp_path.name}/in/{file.name}", file.read_bytes())
    return f"s3://bucket/{tmp_path.name}"


def run_calm(path: Path, output: Path, minilm: str) -> pa.Table:
    """The result of the run that nothing disturbs, on local disk."""
    rerank(config(str(path), str(output), minilm), KnownScorer, InProcess(), SMALL)
    return ranked(str(output))


@pytest.fixture(scope="module")
def expected(store: Faults, local: Path, minilm: str) -> pa.Table:
    return run_calm(local, local.parent / "calm", minilm)


@pytest.fixture(scope="module")
def expected_of_a(store: Faults, local: Path, minilm: str) -> pa.Table:
    """That of the first file alone."""
    return run_calm(local / "a.parquet", local.parent / "calm-a", minilm)


def config(path: str, output: str, minilm: str) -> Config:
    return parse(
        {
            "input": {"path": path},
            "reranker": {"type": "bi_encoder", "model": minilm},
            "engine": {"max_model_len": 256},
            "output": {"path": output, "columns": ["doc"]},
            "run": {"unit_rows": UNIT_ROWS, "max_failed": 0.1},
        }
    )


@pytest.fixture
def run_there(store: Faults, place: str, minilm: str) -> Callable[..., dict]:
    """Runs the pairs there, or those of one file, to `out`, in several parts."""
    store.pick = calm
    store.seen.clear()
    store.counts.clear()

    def run(name: str = "in", cluster: Cluster | None = None) -> dict:
        given = config(f"{place}/{name}", f"{place}/out", minilm)
        return rerank(given, KnownScorer, cluster, SMALL, SHORT_LEASE)

    return run


@pytest.fixture
def on_s3(run_there: Callable[..., dict], on_ray: None) -> Callable[..., dict]:
    """The same on a real Ray."""
    return run_there


def check_with_a_tenth_failing(
    seed: int, store: Faults, place: str, run: Callable[[], dict], expected: pa.Table
) -> dict[str, Any]:
    store.pick = some(seed, 0.1)
    figures = run()
    store.pick = calm
    print(f"seed {seed}: {store.counts.total()} of {len(store.seen)} requests failed: {dict(store.counts)}")
    assert 0.02 < store.counts.total() / len(store.seen) < 0.2
    assert ranked(f"{place}/out").equals(expected)
    return figures


def test_with_a_tenth_of_all_requests_failing_the_result_is_the_same(
    store: Faults, place: str, run_there: Callable[..., dict], expected_of_a: pa.Table
) -> None:
    here = partial(run_there, "in/a.parquet", InProcess())
    figures = check_with_a_tenth_failing(1, store, place, here, expected_of_a)
    assert (figures["rows"], figures["scored_now"]) == (400, 400 - 4)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 12))
def test_the_same_on_a_cluster_with_more_requests_of_which_others_fail(
    seed: int, store: Faults, place: str, on_s3: Callable[..., dict], expected: pa.Table
) -> None:
    figures = check_with_a_tenth_failing(seed, store, place, on_s3, expected)
    assert (figures["rows"], figures["scored_now"]) == (ROWS, ROWS - 7)


@pytest.mark.slow
def test_where_no_listing_shows_what_was_put_the_result_is_the_same(
    store: Faults, place: str, on_s3: Callable[..., dict], expected: pa.Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "lag_seconds", 1000)
    store.pick = always(LAG)
    on_s3()
    assert ranked(f"{place}/out").equals(expected)
    assert store.counts[LAG] > 10
    store.pick = calm
    assert Folder(f"{place}/out").files("lease/") == {}


@pytest.mark.slow
def test_credentials_that_expire_midway_end_the_run_and_the_same_command_goes_on(
    store: Faults, place: str, on_s3: Callable[..., dict], expected: pa.Table
) -> None:
    store.pick = after(5, EXPIRED, "PUT", "/scores/")
    with pytest.raises(StoreError, match=r"^s3://.*: the credentials have expired \(ExpiredToken: .*\)$") as error:
        on_s3()
    assert error.value.exit_code == 1
    store.pick = calm
    assert read_result(Folder(f"{place}/out")) is None
    scores = Folder(f"{place}/out/scores")
    put = [*scores.files()]
    assert 0 < len(put) < ROWS // UNIT_ROWS
    kept = [pq.read_table(pa.BufferReader(scores.read(name)))["rerank_score"] for name in put]
    store.seen.clear()
    figures = on_s3()
    # Fewer, where an actor of the first run had not noticed its end.
    assert figures["scored_now"] <= ROWS - 7 - sum(len(column) - column.null_count for column in kept)
    again = {request.key for request in store.seen if request.method == "PUT"}
    assert not any(key.endswith(name) for key in again for name in put)
    assert ranked(f"{place}/out").equals(expected)


@pytest.mark.slow
def test_a_disk_that_fills_up_ends_the_run_and_the_same_command_goes_on(
    on_ray: None, local: Path, tmp_path: Path, minilm: str, expected: pa.Table
) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", disk], capture_output=True).returncode:
        pytest.skip("mounting a disk takes root")
    try:
        with pytest.raises(StoreError, match=rf"^{disk}/out/.*: cannot be written: No space left on device$"):
            rerank(config(str(local), f"{disk}/out", minilm), KnownScorer, sizes=SMALL, hold=SHORT_LEASE)
        assert list((disk / "out").rglob("*-*.parquet")) and not list((disk / "out").rglob(".put-*"))
        subprocess.run(["mount", "-o", "remount,size=1m", disk], check=True)
        rerank(config(str(local), f"{disk}/out", minilm), KnownScorer, sizes=SMALL, hold=SHORT_LEASE)
        assert ranked(f"{disk}/out").equals(expected)
    finally:
        subprocess.run(["umount", "-l", disk], check=True)
