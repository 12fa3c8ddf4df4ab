"""pipeline/cluster/demand.py: paths that a submitted job cannot find, and what an actor takes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from actors.engines import ENGINES
from pipeline.cluster.demand import check_absolute, check_relative, count_actor_cpus, count_actor_gpus
from pipeline.config import Config
from pipeline.errors import UsageError


@pytest.fixture
def submitted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The driver of a job that was given to `ray job submit`. Its working folder has a folder `model`."""
    monkeypatch.setenv("RAY_JOB_CONFIG_JSON_ENV_VAR", "{}")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model").mkdir()


@pytest.mark.parametrize(
    ("path", "refused"),
    [("s3://bucket/a.trec", False), ("/data/a.trec", False), ("file:///data/a.trec", False), ("pairs", True)],
)
def test_a_relative_path_in_a_submitted_job_is_refused(path: str, refused: bool, submitted: None) -> None:
    try:
        check_absolute([("--run", "/data/run"), ("--output", path)])
        said = ""
    except UsageError as error:
        said = str(error)
    given = "--output = 'pairs': a relative path in a submitted job; give an absolute path or a URL"
    assert said == (given if refused else "")


@pytest.mark.parametrize(
    ("sections", "key"),
    [
        ({}, None),
        ({"input": {"path": ["/data", "s3://bucket/in"]}, "output": {"path": "s3://bucket/out"}}, None),
        ({"input": {"path": ["/data", "in"]}}, "input.path"),
        ({"output": {"path": "out"}}, "output.path"),
        ({"reranker": {"model": "model"}}, "reranker.model"),
        ({"reranker": {"model": "./nowhere"}}, "reranker.model"),
        ({"reranker": {"model": "authors/model"}}, None),
        ({"reranker": {"model": "/models/model"}}, None),
    ],
)
def test_the_paths_of_a_config_are_those_of_input_output_and_model(
    sections: dict[str, dict[str, Any]], key: str | None, submitted: None, make_config: Callable[..., Config]
) -> None:
    config = make_config("/data/pairs", **sections)
    if key is None:
        check_relative(config)
        return
    with pytest.raises(UsageError) as error:
        check_relative(config)
    assert str(error.value).startswith(f"{key} = ")


def test_elsewhere_a_relative_path_is_as_good_as_any(make_config: Callable[..., Config]) -> None:
    check_relative(make_config("pairs", output={"path": "out"}, reranker={"model": "./model"}))


@pytest.mark.parametrize(
    ("workers", "engine", "cpu", "gpus", "cpus"),
    [
        ({}, {}, False, 1, 0),
        ({}, {}, True, 0, 0),
        ({}, {"tensor_parallel_size": 4}, False, 4, 0),
        ({}, {"tensor_parallel_size": 4}, True, 0, 0),
        ({"num_gpus": 0.5}, {}, False, 0.5, 0),
        ({"num_gpus": 0}, {}, False, 0, 0),
        ({"num_gpus": 2, "num_cpus": 6}, {}, True, 2, 6),
    ],
)
def test_an_actor_takes_a_gpu_for_each_rank_unless_the_config_says_more(
    workers: dict[str, float],
    engine: dict[str, Any],
    cpu: bool,
    gpus: float,
    cpus: float,
    make_config: Callable[..., Config],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    build = ENGINES["vllm"].installed()._replace(cpu=cpu)
    monkeypatch.setattr(ENGINES["vllm"], "installed", lambda: build)
    config = make_config("/data/pairs", workers=workers, engine=engine)
    assert (count_actor_gpus(config), count_actor_cpus(config)) == (gpus, cpus)
