"""What tests of whole runs share: a real Ray, pairs, and a scorer of known scores in place of the engine."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import ray

from pipeline.config import Config
from pipeline.output.commit import committed
from pipeline.rank import merge
from pipeline.run import rerank
from pipeline.score import files as scores
from pipeline.storage.folder import Folder
from tests.conftest import ROOT
from tests.fakes import KnownScorer

ROWS = 700


@pytest.fixture(scope="module")
def one_ray(s3_server: str) -> Iterator[None]:
    """A cluster of a test file's own, started where the S3 credentials are: runs find it and leave it running."""
    start_ray()
    yield
    ray.shutdown()


def start_ray() -> None:
    """A cluster whose workers have this process's environment and find the tests."""
    ray.init(
        address="local",
        num_cpus=2,
        include_dashboard=False,
        log_to_driver=False,
        runtime_env={"env_vars": {"PYTHONPATH": str(ROOT)}},
    )


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


def ranked(output: str) -> pa.Table:
    manifest = committed(Folder(output))
    assert manifest
    return pa.concat_tables(pq.read_table(f"{output}/{part}") for part in manifest["parts"])


@pytest.fixture
def run(tmp_path: Path, make_config: Callable[..., Config], one_ray: None) -> Callable[..., dict]:
    """Runs the pairs in `path` to tmp_path/name; other keyword arguments are sections of the config."""

    def run(path: str, name: str = "out", scorer: type = KnownScorer, **sections: dict) -> dict:
        sections["run"] = {"max_failed": 0.1} | sections.get("run", {})
        sections["output"] = {"path": str(tmp_path / name)} | sections.get("output", {})
        return rerank(make_config(path, **sections), scorer)

    return run


def bucketed(monkeypatch: pytest.MonkeyPatch) -> int:
    """Runs have seven buckets from now on, and merge units in groups of about 100 rows."""
    monkeypatch.setattr(scores, "ROWS_PER_BUCKET", 100)
    monkeypatch.setattr(scores, "CARRIED_ROWS_PER_BUCKET", 100)
    monkeypatch.setattr(merge, "GROUP_ROWS", 100)
    return 7
