"""Models that several files of this folder use."""

import pytest

from tests import tiny_trained


@pytest.fixture(scope="session")
def trained_erank(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The folder of a tiny model that answers ERank's prompt (tests/tiny_trained.py)."""
    return tiny_trained.erank(tmp_path_factory.mktemp("erank"))
