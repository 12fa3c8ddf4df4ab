"""Shared by tests of whole runs: pairs, and runs with a scorer of known scores in place of the engine.

Runs go through this process alone (pipeline/cluster/in_process.py), but for those that ask for `run_on_ray`.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import ray

from pipeline.cluster.contract import Cluster
from pipeline.cluster.in_process import InProcess
from pipeline.config import Config
from pipeline.input.result import read_result
from pipeline.run import rerank
from pipeline.sizes import Sizes
from pipeline.storage.folder import Folder
from tests.conftest import ON_RAY, ROOT
from tests.fakes import KnownScorer

ROWS = 700
BUCKETS = 7
SMALL = Sizes(bucket_rows=100, carried_bucket_rows=100, merged_rows=100)  # BUCKETS of them, and groups of 100 rows
Run = Callable[..., dict[str, Any]]


@pytest.fixture(scope="session")
def ray_until_the_end() -> Iterator[None]:
    yield
    ray.shutdown()


@pytest.fixture
def one_ray(request: pytest.FixtureRequest, s3_server: str, ray_until_the_end: None) -> None:
    """A cluster for all tests that ask for it, whose workers have the S3 credentials and find the tests."""
    assert request.node.nodeid.startswith(ON_RAY), "tests/conftest.py must know that this file connects to Ray"
    if not ray.is_initialized():  # else it is that of the tests before
        start_ray()


def start_ray() -> None:
    """A cluster whose workers have this process's environment and find the tests."""
    ray.init(
        address="local",
        num_cpus=2,
        resources={"accelerator_type:L4": 1},  # for a test of where actors go
        include_dashboard=False,
        log_to_driver=False,
        runtime_env={"env_vars": {"PYTHONPATH": str(ROOT)} | s3_environment()},
    )


def s3_environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name.startswith("AWS_")}


def pairs(rows: int = ROWS) -> pa.Table:
    """Queries of uneven size, ties in the first stage, seven empty documents, one pair that is there twice."""
    numbers = [(i * i) % 37 for i in range(rows)]
    return pa.table(
        {
            "query_id": [f"q{n}" for n in numbers],
            "query": [f"query number {n}" for n in numbers],
            "doc_id": [f"d{i}" if i != 135 else "d98" for i in range(rows)],  # 135 = 98 + 37: of the same query
            "doc": ["" if i % 101 == 5 else f"document {i} about things" for i in range(rows)],
            "score": [float(i % 10) for i in range(rows)],
        }
    )


def write(table: pa.Table, folder: Path, files: int) -> str:
    folder.mkdir(parents=True)
    size = -(-len(table) // files)
    for i in range(files):
        pq.write_table(table.slice(i * size, size), folder / f"{i:03d}.parquet", row_group_size=13)
    return str(folder)


def encode(table: pa.Table) -> bytes:
    """A Parquet file whose size depends on the lengths of its texts alone."""
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, row_group_size=13, compression="none", use_dictionary=False)
    return sink.getvalue().to_pybytes()


def ranked(output: str) -> pa.Table:
    """The rows of the result that stands, on any store."""
    folder = Folder(output)
    manifest = read_result(folder)
    assert manifest
    return pa.concat_tables(pq.read_table(pa.BufferReader(folder.read(part))) for part in manifest["parts"])


def score_files(output: Path) -> list[Path]:
    """Those of a local output: file by file, each file's in the order of their rows."""
    return sorted((output / "scores").glob("*/*.parquet"))


def in_order(output: Path) -> pa.Table:
    """The ranked rows of any number of parts, in one order."""
    return ranked(str(output)).sort_by([("query_id", "ascending"), ("rank", "ascending")])


@pytest.fixture
def run(tmp_path: Path, make_config: Callable[..., Config]) -> Run:
    """Runs the pairs in `path` to tmp_path/name, in this process; other keyword arguments are sections of the config.

    more: arguments of rerank.
    """

    def run(
        path: str,
        name: str = "out",
        scorer: type = KnownScorer,
        cluster: Cluster | None = InProcess(),
        more: dict[str, Any] = {},
        **sections: dict,
    ) -> dict:
        if issubclass(scorer, KnownScorer):  # which reads no weights, and to check them takes longer than a small run
            sections["engine"] = {"load_format": "dummy"} | sections.get("engine", {})
        sections["run"] = {"max_failed": 0.1} | sections.get("run", {})
        sections["output"] = {"path": str(tmp_path / name)} | sections.get("output", {})
        return rerank(make_config(path, **sections), scorer, cluster, **more)

    return run


@pytest.fixture
def run_on_ray(run: Run, one_ray: None) -> Run:
    """The same on a real Ray."""
    return partial(run, cluster=None)


@pytest.fixture
def catalog(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A catalog of Iceberg in SQLite, `lake`, which the environment names, with a namespace `shop`."""
    pyiceberg = pytest.importorskip("pyiceberg.catalog")
    (tmp_path / "lake").mkdir()
    values = {"TYPE": "sql", "URI": f"sqlite:///{tmp_path}/lake/catalog.db", "WAREHOUSE": f"file://{tmp_path}/lake"}
    values["S3__ENDPOINT"] = os.environ.get("AWS_ENDPOINT_URL", "")  # that of s3_server, for a test that has it
    for name, value in values.items():
        monkeypatch.setenv(f"PYICEBERG_CATALOG__LAKE__{name}", value)
    # It reads the environment when it is imported, which another test may have done.
    monkeypatch.setattr(pyiceberg, "_ENV_CONFIG", type(pyiceberg._ENV_CONFIG)())
    found = pyiceberg.load_catalog("lake")
    found.create_namespace("shop")
    yield found
    found.close()


class Interrupted(InProcess):
    """This process, in which something happens at a moment of a run.

    before_scoring: the first unit. after_scoring: the last one. before_writing: the first part.
    """

    def __init__(
        self,
        before_scoring: Callable[[], Any] = lambda: None,
        after_scoring: Callable[[], Any] = lambda: None,
        before_writing: Callable[[], Any] = lambda: None,
    ):
        self._before_scoring, self._after_scoring = before_scoring, after_scoring
        self._before_writing = before_writing

    def stream(self, *arguments: Any, **named: Any) -> Any:
        self._before_scoring()
        yield from super().stream(*arguments, **named)
        self._after_scoring()

    def run(self, task: Any, items: Any) -> Any:
        if type(task).__name__ == "WritePart":
            self._before_writing()
        return super().run(task, items)


class NoLease:
    """In the place of a Lease: any number of runs hold the output."""

    def check(self) -> None:
        pass

    confirm = check

    def note_progress(self, *unused: Any) -> None:
        pass


@contextmanager
def hold_nothing(output: Folder) -> Iterator[Any]:
    """In the place of pipeline.output.lease.hold."""
    yield NoLease()
