"""pipeline/cluster.py: paths that the nodes would not find. tests/jobs/test_rerank_submit.py has a real cluster."""

import pytest
import ray

from pipeline.cluster import check_absolute, connected
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
        connected(paths, False, "--shared").__enter__()
    with connected(paths, True, "--shared"), connected(paths[:1], False, "--shared"):
        pass
    nodes.pop(0)
    with connected(paths, False, "--shared"):
        pass


def test_a_relative_path_in_a_submitted_job_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    paths = [("--run", "s3://bucket/a.trec"), ("--run", "/data/a.trec"), ("--output", "pairs")]
    check_absolute(paths)
    monkeypatch.setenv("RAY_JOB_CONFIG_JSON_ENV_VAR", "{}")
    check_absolute(paths[:2])
    with pytest.raises(UsageError, match="--output = 'pairs': a relative path in a submitted job"):
        check_absolute(paths)
