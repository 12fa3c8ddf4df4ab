"""The Ray cluster of a run: the caller's, the one it was submitted to, that of RAY_ADDRESS, or else one of its own."""

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ray
from ray.data import DataContext
from ray.util.annotations import RayDeprecationWarning

from pipeline.cluster.demand import Paths, count_actor_cpus, count_actor_gpus, is_submitted, list_paths
from pipeline.cluster.ray_cluster import RayCluster
from pipeline.config import Config
from pipeline.errors import RunError, UsageError, say
from pipeline.storage.urls import is_local

ROOT = Path(__file__).resolve().parents[2]


@contextmanager
def connect_for_run(config: Config) -> Iterator[RayCluster]:
    """The cluster of a run, with what its engines take and Ray Data set as they need it."""
    with connect(list_paths(config), config.run.shared_filesystem, "run.shared_filesystem=true") as cluster:
        _check_resources(config)
        _set_ray_data()
        yield cluster


@contextmanager
def connect(paths: Paths, shared: bool, allow: str) -> Iterator[RayCluster]:
    """Connects to the cluster, or starts a local Ray and stops it afterwards.

    paths: (key, path) of all that its nodes read and write. shared: every node sees the local ones; allow: how the
    user says so. Raises UsageError for a local path where several nodes would each see a disk of their own.
    """
    mine = not ray.is_initialized()
    if mine:
        _connect()
    try:
        _check_paths(paths, shared, allow)
        yield RayCluster()
    finally:
        if mine:
            ray.shutdown()


def _connect() -> None:
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # as future Rays do; spares every run a warning
    options: dict[str, Any] = {"logging_level": logging.WARNING, "log_to_driver": False}
    address = os.environ.get("RAY_ADDRESS")
    if not address:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # it reports the ends of Ray Data's actors as errors
        python_path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
        logging.getLogger("ray._private.authentication").setLevel(
            logging.ERROR
        )  # that a token guards it is as it should be
        options |= {"address": "local", "include_dashboard": False}
        options |= {"runtime_env": {"env_vars": {"PYTHONPATH": python_path}}}
    elif not is_submitted():  # a submitted job brings its own code
        options |= {"runtime_env": {"py_modules": [str(ROOT / "pipeline"), str(ROOT / "actors")]}}
    try:
        ray.init(**options)
    except ConnectionError as error:
        raise RunError(f"RAY_ADDRESS = {address}: cannot connect to the Ray cluster: {error}") from None


def _set_ray_data() -> None:
    """Blocks go on as a task yields them, in any order; no bars and no chatter beside our own progress."""
    context = DataContext.get_current()
    context.target_max_block_size = 1  # bytes: each row is a block of its own, and a row here is a whole unit
    # Else each unit in flight has a thread that reads the memory maps of its actor every second, which takes a sixth of
    # a busy CPU engine's time.
    context.memory_usage_poll_interval_s = None
    # A unit of reasoning may take longer than Ray Data's half an hour, and so may waiting for a GPU; a stuck engine has
    # its own watchdog.
    context.execution_no_progress_timeout_s = -1
    # actors/worker/failures.py judges workers that die or do not start: what reaches Ray Data as an error is final, and
    # no unit is ever left out.
    context.actor_init_retry_on_errors = False
    context.max_consecutive_actor_init_deaths = 0
    context.max_errored_blocks = 0
    # Until 2.64 at least, nothing else bounds how often Ray tries a task whose process died (ray_cluster.py).
    warnings.filterwarnings("ignore", "`ray_remote_args` is deprecated", RayDeprecationWarning)
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    context.execution_options.preserve_order = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)


def _check_paths(paths: Paths, shared: bool, allow: str) -> None:
    if shared or sum(node["Alive"] for node in ray.nodes()) < 2:
        return
    for key, path in paths:
        if is_local(path):
            raise UsageError(
                f"{key} = {path!r}: a local path on a cluster of several nodes; use object storage, "
                f"or {allow} if every node sees this path"
            )


def _check_resources(config: Config) -> None:
    """Raises UsageError where this machine lacks what one actor takes, for Ray would wait for ever. A cluster may yet
    grow a node that has it: there a line says so."""
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    for key, resource, wanted in (
        ("num_gpus", "GPU", count_actor_gpus(config)),
        ("num_cpus", "CPU", count_actor_cpus(config)),
    ):
        most = max(node.get(resource, 0) for node in nodes)
        if wanted > most and not os.environ.get("RAY_ADDRESS"):
            raise UsageError(f"workers.{key} = {wanted:g}: this machine has {most:g}")
        if wanted > most:
            say(f"workers.{key} = {wanted:g}: no node of the cluster has that now ({most:g} at most); waiting for one")
    _check_accelerator(config.workers.accelerator_type, {name for node in nodes for name in node})


def _check_accelerator(wanted: str | None, resources: set[str]) -> None:
    """The same for the kind of accelerator. resources: the names of those of all nodes."""
    prefix = "accelerator_type:"  # which Ray puts before it
    kinds = sorted(name.removeprefix(prefix) for name in resources if name.startswith(prefix))
    if not wanted or wanted in kinds:
        return
    there, key = ", ".join(kinds) or "none that Ray knows", f"workers.accelerator_type = {wanted!r}"
    if not os.environ.get("RAY_ADDRESS"):
        raise UsageError(f"{key}: this machine has {there}")
    say(f"{key}: no node of the cluster has one now (there: {there}); waiting for one")
