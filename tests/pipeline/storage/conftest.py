"""A folder on each kind of store."""

from pathlib import Path
from uuid import uuid4

import pytest

from pipeline.storage.folder import Folder


@pytest.fixture(params=["local", "memory", "s3"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Folder:
    """A folder that does not exist yet."""
    if request.param == "s3":
        request.getfixturevalue("s3_server")
    url = {"local": str(tmp_path), "memory": "memory://", "s3": "s3://bucket"}[request.param]
    return Folder(f"{url}/{uuid4().hex}")
