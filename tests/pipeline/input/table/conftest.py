"""A catalog of Iceberg in SQLite, which pyiceberg's own configuration in the environment names."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def catalog(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The catalog `lake`, with a namespace `shop`."""
    pyiceberg = pytest.importorskip("pyiceberg.catalog")
    (tmp_path / "lake").mkdir()
    values = {"TYPE": "sql", "URI": f"sqlite:///{tmp_path}/lake/catalog.db", "WAREHOUSE": f"file://{tmp_path}/lake"}
    for name, value in values.items():
        monkeypatch.setenv(f"PYICEBERG_CATALOG__LAKE__{name}", value)
    # It reads the environment when it is imported, which another test may have done.
    monkeypatch.setattr(pyiceberg, "_ENV_CONFIG", type(pyiceberg._ENV_CONFIG)())
    found = pyiceberg.load_catalog("lake")
    found.create_namespace("shop")
    yield found
    found.close()
