"""Shared by tests of checks: tiny models, copies of them with a fault, and the checks that look at a model."""

import json
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from pipeline.check.model import check_model_files, check_tokenizer
from pipeline.check.weights import check_weights
from pipeline.config import Config, parse
from tests import tiny

LABEL = {"prompt": "{query} {doc}", "labels": {"yes": 1.0, "no": 0.0}, "score": "logit"}
Edit = Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a tiny model, which must not be changed."""
    return cache(lambda name: Path(getattr(tiny, name)(tmp_path_factory.mktemp(name))))


@pytest.fixture
def copy(built: Callable[[str], Path], tmp_path: Path) -> Callable[..., Path]:
    """A copy of a tiny model with other tensors, and other keys in its config.json."""

    def make(name: str, edit: Edit | None = None, **config: Any) -> Path:
        folder = tmp_path / "model"
        shutil.copytree(built(name), folder)
        if edit:
            tensors = edit(load_file(folder / "model.safetensors"))
            save_file({key: value.contiguous() for key, value in tensors.items()}, folder / "model.safetensors")
        about = folder / "config.json"
        about.write_text(json.dumps(json.loads(about.read_text()) | config))
        return folder

    return make


def make_config(folder: Path, kind: str, engine: dict[str, Any] | None = None, **reranker: Any) -> Config:
    section = {"type": kind, "model": str(folder)} | reranker
    return parse({"input": {"path": "p"}, "reranker": section, "engine": engine or {}, "output": {"path": "o"}})


def look(*given: Any, **reranker: Any) -> str | None:
    config = make_config(*given, **reranker)
    return check_weights(config, check_tokenizer(check_model_files(config)))
