"""Loads a model of transformers for a kind of request."""

from typing import Any

import torch
import transformers
from transformers.models.auto.modeling_auto import MODEL_FOR_MASKED_LM_MAPPING_NAMES

from actors.engines.transformers.arguments import config_overrides, loaded_dtype
from actors.rerankers.adapter import Adapter, get_adapter, read_adapter
from actors.rerankers.contract import Request
from actors.rerankers.settings import Settings
from actors.rerankers.tokenizer import CONTEXT_KEYS


def load_model(settings: Settings, arguments: dict[str, Any], request: Request) -> Any:
    """The model, on this machine's GPU if it has one. Raises ValueError where its files lack weights, or
    max_model_len or hf_overrides do not go with it."""
    source: dict[str, Any] = {"revision": settings.revision, "trust_remote_code": settings.trust_remote_code}
    overrides = config_overrides(arguments)
    config = transformers.AutoConfig.from_pretrained(settings.model, **source, **overrides)
    if unknown := [key for key in overrides if not hasattr(config, key)]:
        raise ValueError(f"engine.hf_overrides.{unknown[0]}: the config of {settings.model} has no such key")
    _check_context(config, arguments.get("max_model_len"))
    transformers.utils.logging.disable_progress_bar()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model, about = _choose_class(config, request).from_pretrained(
        settings.model,
        config=config,
        dtype=getattr(torch, _choose_dtype(config, arguments, device)),
        attn_implementation=arguments.get("attn_implementation"),
        output_loading_info=True,
        **source,
    )
    adapter = read_adapter(place) if (place := get_adapter(settings)) else Adapter({}, {})
    _merge(model, adapter)
    needed = {*about["missing_keys"]} - adapter.whole.keys()
    missing = sorted(key for key in needed if request.task != "embed" or "pooler" not in key)
    if missing:  # transformers fills these with random numbers
        raise ValueError(
            f"the files of {settings.model} lack the tensor {missing[0]}, which {type(model).__name__} needs"
        )
    if getattr(model, "generation_config", None):  # what its authors set, such as sampling, is not for scores
        start = model.generation_config.decoder_start_token_id or getattr(config, "decoder_start_token_id", None)
        model.generation_config = transformers.GenerationConfig(decoder_start_token_id=start)
    return model.to(device).eval()


def _merge(model: Any, adapter: Adapter) -> None:
    """Merges an adapter into a model. Raises ValueError where it has a tensor that does not fit the model."""
    own = dict(model.named_parameters())
    if model.base_model is model:  # without a head, and the adapter may be of a model that has one
        own |= {f"{model.base_model_prefix}.{name}": tensor for name, tensor in own.items()}
    changed = adapter.low_rank.keys() | adapter.whole.keys()
    for name, tensor in adapter.merge((name, own[name].data) for name in own if name in changed):
        if name not in own or own[name].shape != tensor.shape:
            raise ValueError(f"{type(model).__name__} has no place for the adapter's {name} of shape {[*tensor.shape]}")
        own[name].data.copy_(tensor)


def is_encoder(config: Any) -> bool:
    """Whether a model's tokens see those after them, as those of BERT do."""
    return config.model_type in MODEL_FOR_MASKED_LM_MAPPING_NAMES


def _choose_class(config: Any, request: Request) -> Any:
    if request.task == "classify" and not request.labels:
        return transformers.AutoModelForSequenceClassification
    if request.task == "embed":
        name = (config.architectures or [""])[0]
        if not config.is_encoder_decoder:
            return transformers.AutoModel
        if name.endswith("EncoderModel"):
            return getattr(transformers, name)
        raise ValueError(f"{name} has an encoder and a decoder, and makes no embeddings")
    return transformers.AutoModelForSeq2SeqLM if config.is_encoder_decoder else transformers.AutoModelForCausalLM


def _choose_dtype(config: Any, arguments: dict[str, Any], device: str) -> str:
    if device == "cpu" and arguments.get("dtype", "auto") == "auto":  # also where torch is a build for GPUs
        return "float32"
    return loaded_dtype(arguments, str(config.dtype or "float32").removeprefix("torch."))


def _check_context(config: Any, asked: int | None) -> None:
    """Raises ValueError for a context that is longer than the model's."""
    text = config.get_text_config()
    declared = [length for key in CONTEXT_KEYS if (length := getattr(text, key, None))]
    if asked and declared and asked > min(declared):
        raise ValueError(f"engine.max_model_len = {asked}: the model has a context of {min(declared)} tokens")
