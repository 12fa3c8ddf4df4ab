"""Embeddings as the files of sentence-transformers say, against the formulas written out."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from transformers import AutoModel

from actors.engines.transformers.engine import Engine
from actors.rerankers.contract import Request
from actors.rerankers.settings import Settings
from tests import tiny
from tests.actors.conftest import run
from tests.actors.engines.transformers.conftest import Quiet, sequences

ST = "sentence_transformers.models."
MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "encoder": ("bert", {"max_position_embeddings": 512}),
    "decoder": ("qwen2", {"num_key_value_heads": 1}),
}
POOL: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "cls": lambda states: states[0],
    "mean": lambda states: states.mean(0),
    "last": lambda states: states[-1],
}


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., str]:
    """Saves a model, with modules behind its Transformer: their names and configs."""

    def make(name: str, modules: dict[str, dict[str, Any]]) -> str:
        kind, config = MODELS[name]
        tiny.save(tmp_path, tiny.qwen2_tokenizer(), kind, AutoModel, **config)
        if modules:
            listed = [
                {"path": f"{i}_{each}" if i else "", "type": ST + each}
                for i, each in enumerate(["Transformer", *modules])
            ]
            (tmp_path / "modules.json").write_text(json.dumps(listed))
            for module, (about) in zip(listed[1:], modules.values(), strict=True):
                (tmp_path / module["path"]).mkdir()
                (tmp_path / module["path"] / "config.json").write_text(json.dumps(about))
        return str(tmp_path)

    return make


def embed(folder: str, **arguments: Any) -> np.ndarray:
    engine = Engine(
        Settings(type="", model=folder), {"dtype": "float32"} | arguments, Request("embed"), [], 1800, Quiet()
    )
    replies: list[Any] = [*run(engine, sequences()).result(60)]
    return np.array([reply.vector for reply in replies])


@torch.no_grad()
def expected(folder: str, pool: Callable, after: Callable = lambda vector: vector) -> np.ndarray:
    model = AutoModel.from_pretrained(folder, dtype=torch.float32).eval()
    vectors = [after(pool(model(torch.tensor([tokens])).last_hidden_state[0])) for tokens in sequences()]
    return np.array([(vector / vector.norm()).numpy() for vector in vectors])


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize(
    ("pooling", "mode"),
    [
        ({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}, "cls"),
        ({"pooling_mode_cls_token": False, "pooling_mode_mean_tokens": True}, "mean"),
        ({"pooling_mode_lasttoken": True}, "last"),
        ({"pooling_mode": "mean"}, "mean"),
    ],
)
def test_the_pooling_is_the_files(name: str, pooling: dict[str, Any], mode: str, make: Callable[..., str]) -> None:
    folder = make(name, {"Pooling": pooling, "Normalize": {}})
    np.testing.assert_allclose(embed(folder), expected(folder, POOL[mode]), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("name", "mode"), [("encoder", "cls"), ("decoder", "last")])
def test_without_files_an_encoder_has_its_first_token_and_a_language_model_its_last(
    name: str, mode: str, make: Callable[..., str]
) -> None:
    folder = make(name, {})
    np.testing.assert_allclose(embed(folder), expected(folder, POOL[mode]), rtol=1e-4, atol=1e-5)
    by_mean = embed(folder, pooler_config={"pooling_type": "MEAN"})
    np.testing.assert_allclose(by_mean, expected(folder, POOL["mean"]), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("file", "stem"), [("model.safetensors", "linear."), ("model.safetensors", "dense."), ("pytorch_model.bin", "")]
)
@pytest.mark.parametrize(
    ("activation", "apply"),
    [
        ("torch.nn.modules.activation.Tanh", torch.tanh),
        ("torch.nn.modules.linear.Identity", lambda vector: vector),
        ("torch.nn.modules.activation.ReLU", torch.relu),
    ],
)
def test_dense_layers_are_applied(
    file: str, stem: str, activation: str, apply: Callable, make: Callable[..., str]
) -> None:
    dense = {"in_features": 64, "out_features": 16, "bias": True, "activation_function": activation}
    folder = make("encoder", {"Pooling": {"pooling_mode_mean_tokens": True}, "Dense": dense, "Normalize": {}})
    torch.manual_seed(3)
    weights = {f"{stem}weight": torch.randn(16, 64), f"{stem}bias": torch.randn(16)}
    place = Path(folder) / "2_Dense" / file
    save_file(weights, place) if place.suffix == ".safetensors" else torch.save(weights, place)
    weight, bias = weights.values()
    right = expected(folder, POOL["mean"], lambda vector: apply(weight @ vector + bias))
    np.testing.assert_allclose(embed(folder), right, rtol=1e-4, atol=1e-5)


def test_a_dense_layer_without_weights_is_no_engine(make: Callable[..., str]) -> None:
    dense = {"in_features": 64, "out_features": 16}
    folder = make("encoder", {"Pooling": {"pooling_mode_mean_tokens": True}, "Dense": dense})
    with pytest.raises(ValueError, match="has no weights in 2_Dense"):
        embed(folder)
