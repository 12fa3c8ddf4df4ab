"""Where the record of attempts lives, on a real cluster of several nodes. What the stream yields: test_run.py."""

import os
import subprocess
import sys
import tempfile

from tests.conftest import ROOT

PROGRAM = """
import ray
from ray.cluster_utils import Cluster
from pipeline.score import Record

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
