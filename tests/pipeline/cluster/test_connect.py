"""pipeline/cluster/connect.py: paths that nodes would not find. tests/jobs/test_rerank_submit.py has a real cluster."""

from collections.abc import Callable

import pytest
import ray

from pipeline.cluster.connect import connect, connect_for_run
from pipeline.config import Config
from pipeline.errors import UsageError


@pytest.fixture
def nodes(monkeypatch: pytest.MonkeyPatch) -> list[dict]:
    """The nodes of a cluster that is there already."""
    nodes = [{"Alive": True}, {"Alive": True}, {"Alive": False}]
    monkeypatch.setattr(ray, "is_initialized", lambda: True)
    monkeypatch.setattr(ray, "nodes", lambda: nodes)
    monkeypatch.setattr(ray, "shutdown", pytest.fail)  # it is not ours
    return nodes


def test_a_local_path_on_several_nodes_is_refused(nodes: list[dict]) -> None:
    paths = [("--run", "s3://bucket/a.trec"), ("--corpus", "/data/corpus.jsonl")]
    with pytest.raises(UsageError, match=r"--corpus = '/data/corpus.jsonl': a local path .* or --shared if every node"):
        connect(paths, False, "--shared").__enter__()
    with connect(paths, True, "--shared"), connect(paths[:1], False, "--shared"):
        pass
    nodes.pop(0)
    with connect(paths, False, "--shared"):
        pass


def test_what_no_node_has_is_refused_on_one_machine_and_told_of_on_a_cluster(
    nodes: list[dict],
    make_config: Callable[..., Config],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    nodes[:] = [{"Alive": True, "Resources": {"CPU": 4, "GPU": 1}}]
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    config = make_config("s3://bucket/in", workers={"num_gpus": 2})
    with pytest.raises(UsageError, match=r"workers\.num_gpus = 2: this machine has 1"):
        connect_for_run(config).__enter__()
    monkeypatch.setenv("RAY_ADDRESS", "ray-head:6379")  # it may grow
    with connect_for_run(config):
        pass
    told = "workers.num_gpus = 2: no node of the cluster has that now (1 at most); waiting for one"
    assert told in capsys.readouterr().err


def test_a_kind_of_accelerator_that_no_node_has_is_refused_or_told_of(
    nodes: list[dict],
    make_config: Callable[..., Config],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    kinds = {"accelerator_type:L4": 1}
    nodes[:] = [{"Alive": True, "Resources": kinds}, {"Alive": False, "Resources": {"accelerator_type:H100": 1}}]
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    with connect_for_run(make_config("s3://bucket/in", workers={"accelerator_type": "L4"})):
        pass
    assert "accelerator" not in capsys.readouterr().err
    wanted = make_config("s3://bucket/in", workers={"accelerator_type": "H100"})
    with pytest.raises(UsageError, match=r"workers\.accelerator_type = 'H100': this machine has L4"):
        connect_for_run(wanted).__enter__()
    monkeypatch.setenv("RAY_ADDRESS", "ray-head:6379")
    kinds.clear()
    with connect_for_run(wanted):
        pass
    told = "'H100': no node of the cluster has one now (there: none that Ray knows); waiting for one"
    assert told in capsys.readouterr().err
