"""The failure tracker as an actor of a real Ray: on the driver's node, with the methods of the one in process."""

import inspect
import os
import pickle
import subprocess
import sys
import tempfile
import time

import pytest

from actors.worker.failures import STARTS, EngineError, FailureTracker, Result, Turn, Worker
from pipeline.cluster.ray_cluster import RayCluster
from pipeline.cluster.tracker import GONE, RemoteTracker
from pipeline.errors import RunError
from tests.conftest import ROOT

PROGRAM = """
import ray
from ray.cluster_utils import Cluster
from pipeline.cluster.tracker import RemoteTracker

cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
try:
    for _ in range(2):
        cluster.add_node(num_cpus=2)
    cluster.wait_for_nodes()
    ray.init(cluster.address, log_to_driver=False)
    node = lambda self: ray.get_runtime_context().get_node_id()
    trackers = [RemoteTracker(1) for _ in range(6)]
    print({ray.get(tracker.actor.__ray_call__.remote(node)) for tracker in trackers} == {node(None)})
    ray.shutdown()
finally:
    cluster.shutdown()
"""
A, B = Worker("a", "1"), Worker("b", "1")


@pytest.mark.slow
def test_the_tracker_is_on_the_drivers_node_and_no_other() -> None:
    with tempfile.TemporaryDirectory(prefix="score-", ignore_cleanup_errors=True) as folder:
        own = os.environ | {"RAY_TMPDIR": folder}  # otherwise a job of another test's cluster would connect to this one
        command = [sys.executable, "-c", PROGRAM]
        done = subprocess.run(command, cwd=ROOT, env=own, capture_output=True, text=True, timeout=200)
    assert done.stdout == "True\n", done.stdout + done.stderr


def test_it_has_the_methods_of_the_tracker_in_process() -> None:
    def describe(tracker: type) -> dict[str, list[str]]:
        methods = inspect.getmembers(tracker, inspect.isfunction)
        signatures = {name: inspect.signature(method) for name, method in methods if not name.startswith("_")}
        return {  # Ray adds a parameter of its own to the methods of a class that became an actor
            name: [str(parameter) for parameter in signature.parameters.values() if "_ray_" not in parameter.name]
            for name, signature in signatures.items()
        }

    assert describe(RemoteTracker) == describe(FailureTracker)


def test_its_answers_and_errors_are_those_of_the_tracker_in_process(one_ray: None) -> None:
    drivers = RemoteTracker(1)
    tracker: RemoteTracker = pickle.loads(pickle.dumps(drivers))  # as an actor gets it
    tracker.starting(A)
    tracker.started(A)
    assert tracker.enter(A, "u", 4) == Turn(False, [(0, 4)], {})
    tracker.begin(A, "u", (0, 4))
    tracker.broke(A, "out of memory")
    assert tracker.enter(B, "u", 4) == Turn(True, [(0, 4)], {})
    result = Result([0.5] * 4, [None] * 4, {"new_tokens": 1})
    tracker.begin(B, "u", (0, 4))
    tracker.scored(B, "u", (0, 4), result)
    assert tracker.enter(B, "u", 4) == Turn(True, [], {(0, 4): result})
    tracker.end(B, "u", {"rows": 4})
    assert tracker.enter(A, "u", 4).row == {"rows": 4}
    with pytest.raises(EngineError, match=f"{STARTS} starts of an engine in a row failed.*: no room"):
        for process in range(STARTS):
            tracker.starting(Worker("c", str(process)))
            tracker.start_failed(Worker("c", str(process)), "no room")
    tracker.put_hung(A, "the scores of unit u were not put")


def test_it_ends_with_its_stream_and_is_a_run_error_then(one_ray: None) -> None:
    with RayCluster().track_failures(1) as tracker:
        tracker.starting(A)
    with pytest.raises(RunError) as error:
        for _ in range(300):  # Ray kills it a moment later
            tracker.starting(B)
            time.sleep(0.1)
    assert str(error.value) == GONE
