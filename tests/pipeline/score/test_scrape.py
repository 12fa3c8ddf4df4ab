"""A job with a real engine, scraped over HTTP as by Prometheus. Every metric of the dashboard is there, with the totals
of the manifest, and the log lines are where docs/metrics.md says."""

import json
import socket
import time
import urllib.request
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import ray
from prometheus_client.parser import text_string_to_metric_families

from pipeline.input.result import read_result
from pipeline.plan.units import parse_unit
from pipeline.run import rerank
from pipeline.storage.folder import Folder
from tests import tiny
from tests.conftest import ROOT
from tests.test_grafana import queried

pytestmark = pytest.mark.slow  # an engine, and Ray's agent, which serves metrics some ten seconds later


@pytest.fixture
def metered_ray() -> Iterator[tuple[str, Path]]:
    """Starts a Ray for one test. Yields the URL of its metrics and the folder of its logs."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    started: Any = ray.init(
        address="local",
        num_cpus=2,
        include_dashboard=False,
        log_to_driver=False,
        runtime_env={"env_vars": {"PYTHONPATH": str(ROOT)}},
        _metrics_export_port=port,
    )
    yield f"http://127.0.0.1:{port}/metrics", Path(started.address_info["session_dir"]) / "logs"
    ray.shutdown()


def scrape(url: str) -> dict[str, float]:
    """Name of a sample -> its sum over all labels."""
    text = urllib.request.urlopen(url, timeout=10).read().decode()
    sums: dict[str, float] = defaultdict(float)
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            sums[sample.name] += sample.value
    return sums


@pytest.mark.timeout(900)
def test_every_metric_of_the_dashboard_is_in_the_scrape(
    metered_ray: tuple[str, Path], make_config: Callable, write_pairs: Callable, tmp_path: Path
) -> None:
    docs = ["" if i % 50 == 7 else f"document {i} " + "of many words " * (i % 25) for i in range(600)]
    queries = [f"query number {i // 20}" for i in range(600)]
    config = make_config(
        write_pairs(query=queries, doc=docs, score=[None, *map(float, range(599))]),
        reranker={"type": "lb", "model": tiny.qwen2(tmp_path / "model"), "max_doc_tokens": 40},
        engine={"max_model_len": 512, "kv_cache_memory_bytes": 2**26, "block_size": 32},
        run={"unit_rows": 150, "max_failed": 0.1},
    )
    metrics_url, logs = metered_ray
    figures = rerank(config)
    expected = {
        "ray_rayrank_pairs_total": 587,
        "ray_rayrank_failures_total": 13,
        "ray_rayrank_truncated_total": figures["truncated"],
        "ray_rayrank_units_total": 4,
        "ray_rayrank_unit_seconds_count": 4,
        **{f"ray_rayrank_{name}_total": figures[name] for name in ("prompt_tokens", "cached_tokens", "new_tokens")},
    }
    assert all(expected.values()), "a zero proves nothing"
    deadline = time.monotonic() + 60
    while not expected.items() <= (found := scrape(metrics_url)).items() and time.monotonic() < deadline:
        time.sleep(1)
    assert {name: found[name] for name in expected} == expected
    assert queried() - found.keys() == {"ray_rayrank_engine_preemptions_total"}, "of none a counter does not appear"
    assert 0 <= found["ray_rayrank_engine_cache_share"] <= 1
    assert 0 < found["ray_rayrank_engine_busy_seconds_total"] < figures["seconds"]["score"]
    manifest = read_result(Folder(config.output.path))
    assert manifest
    lines = [json.loads(line) for line in find_lines(logs, manifest["run"])]
    bounds = sorted((unit.first, unit.stop) for unit in (parse_unit(line["unit"]) for line in lines))
    assert bounds == [(0, 150), (150, 300), (300, 450), (450, 600)]
    assert sum(line["prompt_tokens"] for line in lines) == figures["prompt_tokens"]


def find_lines(logs: Path, run: str) -> list[str]:
    """The lines of a run in the logs of a Ray's workers."""
    return [
        line
        for path in logs.glob("worker-*.err")
        for line in path.read_text().splitlines()
        if f'"run": "{run}"' in line
    ]
