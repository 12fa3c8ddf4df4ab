"""Where the record of attempts lives, on a real cluster of several nodes, and what of a task is under watch.

What the stream yields: test_run.py.
"""

import math
import os
import subprocess
import sys
import tempfile
from typing import Any

import pyarrow as pa
import pytest

from pipeline.cluster import tasks
from pipeline.score import stream as score
from tests.conftest import ROOT

PROGRAM = """
import ray
from ray.cluster_utils import Cluster
from pipeline.score.stream import Record

cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
try:
    for _ in range(2):
        cluster.add_node(num_cpus=2)
    cluster.wait_for_nodes()
    ray.init(cluster.address, log_to_driver=False)
    node = lambda self: ray.get_runtime_context().get_node_id()
    records = [Record(1) for _ in range(6)]
    print({ray.get(record.attempts.__ray_call__.remote(node)) for record in records} == {node(None)})
    ray.shutdown()
finally:
    cluster.shutdown()
"""


def test_the_record_of_attempts_is_on_the_drivers_node_and_no_other() -> None:
    with tempfile.TemporaryDirectory(prefix="score-", ignore_cleanup_errors=True) as folder:
        own = os.environ | {"RAY_TMPDIR": folder}  # else a job of another test's cluster would go to this one
        command = [sys.executable, "-c", PROGRAM]
        done = subprocess.run(command, cwd=ROOT, env=own, capture_output=True, text=True, timeout=200)
    assert done.stdout == "True\n", done.stdout + done.stderr


def test_what_a_task_reads_to_know_its_splits_is_under_watch(monkeypatch: pytest.MonkeyPatch) -> None:
    class Work:
        watched = False

        def splits(self, task: int) -> list[Any]:
            Work.watched = math.isfinite(tasks._watchdog()._deadline)
            return []

    handed: Any = Work()
    monkeypatch.setattr(score.ray, "get", lambda handed: handed)
    assert not [*score.prompted_units(pa.table({"id": [0]}), handed, handed, 0, handed)]
    assert Work.watched and math.isinf(tasks._watchdog()._deadline)
