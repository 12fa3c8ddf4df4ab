"""A weight that no file has makes null scores in vLLM, where the check before the run did not see that it is gone."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from actors.engines.vllm.engine import Engine
from actors.rerankers.contract import Reply, Request
from actors.rerankers.settings import Settings
from actors.worker.watchdog import Watchdog
from tests import tiny
from tests.actors.conftest import run
from tests.parity import FLOAT32


@pytest.mark.parametrize(
    ("name", "request_", "labels", "lost"),
    [
        ("llama_classifier", Request("classify"), [], "score."),
        ("xlm_roberta", Request("classify"), [], "roberta.encoder.layer.1.intermediate."),
        ("qwen2", Request("generate", labels=("yes", "no")), [300, 301], "model.layers.0.mlp.up_proj."),
    ],
)
def test_what_no_file_fills_is_nan(
    name: str, request_: Request, labels: list[int], lost: str, tiny_model: Callable[[str], str], tmp_path: Path
) -> None:
    folder = tmp_path / name
    shutil.copytree(tiny_model(name), folder)
    tensors = load_file(folder / "model.safetensors")
    kept = {key: tensor for key, tensor in tensors.items() if not key.startswith(lost)}
    assert len(kept) < len(tensors)
    save_file(kept, folder / "model.safetensors")
    settings = Settings(type="lb", model=str(folder))
    engine = Engine(settings, FLOAT32, request_, labels, 1800, Watchdog())
    (reply,) = run(engine, [[5, 6, 7, 8]]).result(60)
    assert isinstance(reply, Reply)
    assert np.isnan(reply.label_logprobs if labels else reply.vector).all()  # type: ignore[arg-type]
    assert not torch.are_deterministic_algorithms_enabled()


@pytest.mark.parametrize(
    "argument", [{"tensor_parallel_size": 2}, {"pipeline_parallel_size": 2}, {"load_format": "pt"}]
)
def test_an_adapter_that_this_loader_would_not_see_is_refused(
    argument: dict, tiny_model: Callable[[str], str], tmp_path: Path
) -> None:
    model = tiny_model("qwen2")
    settings = Settings(type="lb", model=model, adapter=tiny.lora(tmp_path, model, "q_proj", labels=0))
    (name, value), *_ = argument.items()
    with pytest.raises(ValueError, match=f"no adapter can be merged with engine.{name} = {value!r}"):
        Engine(settings, FLOAT32 | argument, Request("generate"), [], 1800, Watchdog())
