"""A Ray for all jobs of a test file, and tiny models made once a session."""

from collections.abc import Callable, Iterator

import pytest
import ray

from pipeline.cluster import _connect
from tests import tiny


@pytest.fixture(scope="module")
def local_ray() -> Iterator[None]:
    """A local Ray, that jobs of this file use one after the other."""
    _connect()
    yield
    ray.shutdown()


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    """Name of a function of tests/tiny.py -> the folder of its model."""
    made: dict[str, str] = {}

    def make(name: str) -> str:
        if name not in made:
            made[name] = getattr(tiny, name)(tmp_path_factory.mktemp(name))
        return made[name]

    return make
