"""From hidden states to an embedding, as the files that sentence-transformers saves beside a model say.

Without such files the last token's state of a language model is taken, and the first token's of an encoder.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch.nn.functional import normalize

from actors.engines.transformers.forward import Sequences, pad
from actors.engines.transformers.loading import is_encoder
from actors.rerankers.files import find_optional_file, read_optional_file
from actors.rerankers.settings import Settings

Layer = Callable[[torch.Tensor], torch.Tensor]
MODES = {"cls": "CLS", "mean": "MEAN", "lasttoken": "LAST", "last": "LAST"}  # by what stands before the first _


class Embedder:
    """Computes embeddings with a model of transformers."""

    def __init__(self, model: Any, settings: Settings, arguments: dict[str, Any]):
        self._model = model
        self._pooling = "CLS" if is_encoder(model.config) else "LAST"
        self._layers: list[Layer] = []
        if pooler := arguments.get("pooler_config"):
            self._pooling = pooler["pooling_type"]
            return
        modules = read_optional_file(settings, "modules.json", list) or []
        for module in modules:
            kind, path = module["type"].rpartition(".")[2], module["path"]
            if kind == "Pooling":
                self._pooling = _read_pooling(settings, path) or self._pooling
            elif kind == "Dense":
                self._layers.append(_load_dense(settings, path).to(model.device))
            elif kind == "Normalize":
                self._layers.append(normalize)

    def embed(self, sequences: Sequences) -> torch.Tensor:
        """Embeddings of length 1; shape (sequences, size), float32."""
        config = self._model.config
        ids, mask = pad(sequences, config.get_text_config().pad_token_id or 0, False, self._model.device)
        states = self._model(input_ids=ids, attention_mask=mask).last_hidden_state
        vectors = _pool(states, mask, self._pooling)
        for layer in self._layers:
            vectors = layer(vectors)
        return normalize(vectors)


def _pool(states: torch.Tensor, mask: torch.Tensor, pooling: str) -> torch.Tensor:
    """states: shape (sequences, tokens, size), padded on the right; returns (sequences, size) in float32."""
    if pooling == "CLS":
        return states[:, 0].float()
    if pooling == "LAST":
        return states[torch.arange(len(states)), mask.sum(1) - 1].float()
    weights = mask[:, :, None].float()
    return (states.float() * weights).sum(1) / weights.sum(1)


def _read_pooling(settings: Settings, path: str) -> str | None:
    declared = read_optional_file(settings, f"{path}/config.json") or {}
    names = [name.removeprefix("pooling_mode_") for name, on in declared.items() if on is True and "_mode_" in name]
    if isinstance(mode := declared.get("pooling_mode"), str):
        names = [mode]
    return MODES[names[0].partition("_")[0]] if names else None


def _load_dense(settings: Settings, path: str) -> torch.nn.Module:
    """A linear layer and its activation, in float32."""
    about = read_optional_file(settings, f"{path}/config.json") or {}
    layer = torch.nn.Linear(about["in_features"], about["out_features"], bias=about.get("bias", True))
    weights = {key.rpartition(".")[2]: value for key, value in _read_weights(settings, path).items()}
    layer.load_state_dict(weights)
    activation = getattr(torch.nn, about.get("activation_function", "Tanh").rpartition(".")[2])()
    return torch.nn.Sequential(layer, activation).float().eval()


def _read_weights(settings: Settings, path: str) -> dict[str, torch.Tensor]:
    if file := find_optional_file(settings, f"{path}/model.safetensors"):
        from safetensors.torch import load_file

        return load_file(file)
    if file := find_optional_file(settings, f"{path}/pytorch_model.bin"):
        return torch.load(file, map_location="cpu", weights_only=True)
    raise ValueError(f"{settings.model} has no weights in {path}")
