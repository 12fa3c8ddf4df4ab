"""The demands of a run on a cluster: the GPUs and CPUs of an actor, and paths that its nodes can find. Without Ray."""

import os

from actors.engines import get_engine
from pipeline.config import Config
from pipeline.config.sections import DeltaTable
from pipeline.errors import UsageError
from pipeline.storage.urls import is_local

Paths = list[tuple[str, str]]  # the key under which the user gave it, and the path


def is_submitted() -> bool:
    """Whether this is the driver of a job given to `ray job submit`."""
    return "RAY_JOB_CONFIG_JSON_ENV_VAR" in os.environ


def count_actor_gpus(config: Config) -> float:
    """GPUs of one actor: of a build for GPUs one for each rank of its engine, else none, unless the config says."""
    if config.workers.num_gpus is not None:
        return config.workers.num_gpus
    return 0 if get_engine(config.engine).installed().cpu else config.ranks


def count_actor_cpus(config: Config) -> float:
    """CPUs that Ray sets aside for one actor: none, unless the config says."""
    return config.workers.num_cpus or 0


def check_relative(config: Config) -> None:
    """Raises UsageError for a relative path in the config of a submitted job."""
    check_absolute(list_paths(config))
    model = config.reranker.model
    if is_submitted() and not os.path.isabs(model) and (os.path.isdir(model) or model.startswith(".")):
        raise UsageError(f"reranker.model = {model!r}: a relative path in a submitted job; give an absolute path")


def check_absolute(paths: Paths) -> None:
    """Raises UsageError for a relative path in a submitted job, whose working folder is a copy that goes away."""
    for key, path in paths if is_submitted() else []:
        if is_local(path) and "://" not in path and not os.path.isabs(path):
            raise UsageError(f"{key} = {path!r}: a relative path in a submitted job; give an absolute path or a URL")


def list_paths(config: Config) -> Paths:
    """The paths of a config that nodes read and write."""
    paths = [*(("input.path", path) for path in config.input.path), ("output.path", config.output.path)]
    if isinstance(config.input.table, DeltaTable):
        paths.append(("input.table.path", config.input.table.path))
    return [*paths, *(("run.reuse", path) for path in config.run.reuse)]
