"""The one local Ray of a tree's process, which all of its runs use: to start one takes longer than a run."""

import logging
import os

import ray

STARTS = 5  # Ray gives its own processes 30 seconds to start, which is too little on a busy machine


def stand() -> None:
    """Starts it where it is not there yet. COMPARE_TEMPORARY is its folder, and COMPARE_CPUS its size."""
    for left in reversed(range(STARTS)):
        if ray.is_initialized():
            break
        try:
            ray.init(
                address="local",
                num_cpus=int(os.environ["COMPARE_CPUS"]),
                object_store_memory=400 * 2**20,
                include_dashboard=False,
                log_to_driver=False,
                logging_level=logging.ERROR,
                _temp_dir=os.environ["COMPARE_TEMPORARY"],
            )
        except Exception:
            ray.shutdown()
            if not left:
                raise
    os.environ["COMPARE_RAY"] = ray.get_runtime_context().gcs_address  # for drivers that are killed
