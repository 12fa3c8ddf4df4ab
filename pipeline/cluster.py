"""The Ray cluster of a run: the one it was submitted to or is told of by RAY_ADDRESS, else one of its own."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import ray
from ray.data import DataContext

from pipeline.config import Config
from pipeline.errors import RunError, UsageError
from pipeline.storage import is_local

ROOT = Path(__file__).resolve().parent.parent


def submitted() -> bool:
    """Whether this is the driver of a job given to `ray job submit`."""
    return "RAY_JOB_CONFIG_JSON_ENV_VAR" in os.environ


@contextmanager
def cluster(config: Config) -> Iterator[None]:
    """Connects to the cluster, or starts a local Ray and stops it afterwards."""
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # as future Rays do; spares every run a warning
    own = "RAY_ADDRESS" not in os.environ
    options: dict = {"logging_level": logging.WARNING, "log_to_driver": False}
    if own:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # Ray Data's actors are reported as errors in vain
        options |= {
            "address": "local",
            "include_dashboard": False,
            "runtime_env": {"env_vars": {"PYTHONPATH": _python_path()}},
        }
    elif not submitted():
        options |= {"runtime_env": {"py_modules": [str(ROOT / "pipeline"), str(ROOT / "actors")]}}
    try:
        ray.init(**options)
    except ConnectionError as error:
        raise RunError(
            f"RAY_ADDRESS = {os.environ.get('RAY_ADDRESS')}: cannot connect to the Ray cluster: {error}"
        ) from None
    try:
        _check_paths(config)
        _set_ray_data()
        yield
    finally:
        ray.shutdown()


def _set_ray_data() -> None:
    """Blocks go on as a task yields them, in any order; no bars and no chatter beside our own progress."""
    context = DataContext.get_current()
    context.target_max_block_size = 1  # bytes: each row is a block of its own, and a row here is a whole unit
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    context.execution_options.preserve_order = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)


def _python_path() -> str:
    return os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])


def _check_paths(config: Config) -> None:
    """Raises UsageError for a local path where several nodes would each see a disk of their own."""
    if config.run.shared_filesystem or sum(node["Alive"] for node in ray.nodes()) < 2:
        return
    for key, path in [*(("input.path", path) for path in config.input.path), ("output.path", config.output.path)]:
        if is_local(path):
            raise UsageError(
                f"{key} = {path!r}: a local path on a cluster of several nodes; use object storage, "
                "or run.shared_filesystem=true if every node sees this path"
            )


def check_relative(config: Config) -> None:
    """Raises UsageError for a relative path in a submitted job, whose working folder is a copy that goes away."""
    if not submitted():
        return
    for key, path in [*(("input.path", path) for path in config.input.path), ("output.path", config.output.path)]:
        if is_local(path) and "://" not in path and not os.path.isabs(path):
            raise UsageError(f"{key} = {path!r}: a relative path in a submitted job; give an absolute path or a URL")
    model = config.reranker.model
    if not os.path.isabs(model) and (os.path.isdir(model) or model.startswith(".")):
        raise UsageError(
            f"reranker.model = {model!r}: a relative path in a submitted job; give an absolute path or a model id"
        )
