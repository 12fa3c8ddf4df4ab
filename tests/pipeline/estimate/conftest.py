"""Shared by tests of the estimate: a tiny model and configs of pairs as they are written here."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.config import Config, parse
from tests import tiny


@pytest.fixture(scope="session")
def qwen2(tmp_path_factory: pytest.TempPathFactory) -> str:
    return tiny.qwen2(tmp_path_factory.mktemp("qwen2"))


@pytest.fixture
def lb_config(qwen2: str, tmp_path: Path) -> Callable[..., Config]:
    """A config for the tiny model as `lb`; keyword arguments replace whole sections' keys."""

    def make(path: str | list[str], **sections: dict[str, Any]) -> Config:
        values: dict[str, dict[str, Any]] = {
            "input": {"path": path},
            "reranker": {"type": "lb", "model": qwen2},
            "engine": {"dtype": "float32", "max_model_len": 512},
            "output": {"path": str(tmp_path / "out")},
        }
        return parse({name: values.get(name, {}) | sections.get(name, {}) for name in {**values, **sections}})

    return make
