"""A Ray for all jobs of a test file."""

from collections.abc import Iterator

import pytest
import ray

from pipeline.cluster.connect import _connect


@pytest.fixture(scope="module")
def local_ray() -> Iterator[None]:
    """A local Ray, that jobs of this file use one after the other."""
    _connect()
    yield
    ray.shutdown()
