"""Memory that one engine takes for a model: weights, and the keys and values of the tokens it holds.

Estimates from the model's files: activations, CUDA graphs and vLLM's own buffers come on top.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from actors.engines import get_engine
from pipeline.config import Config

DTYPE_BYTES = {"float32": 4, "float": 4, "float16": 2, "half": 2, "bfloat16": 2}


@dataclass(frozen=True)
class Memory:
    """Bytes of one engine, over all its GPUs.

    weights: None where the files' sizes are not known. dtype: the type they are loaded as. token: keys and values of
    one token; 0 for an encoder, which keeps none.
    """

    weights: int | None
    dtype: str
    token: int


def estimate_memory(config: Config) -> Memory:
    """The memory of a config's engine.

    weights: the files' sizes, times bytes of the engine's dtype / bytes of the stored one (quantised: as they are).
    token: 2 x layers x key-value heads x head size x bytes.
    """
    from transformers import AutoConfig
    from transformers.models.auto.modeling_auto import MODEL_FOR_MASKED_LM_MAPPING_NAMES as ENCODERS

    settings, engine, facts = config.reranker, config.engine, get_engine(config.engine)
    source = {"revision": settings.revision, "trust_remote_code": settings.trust_remote_code}
    declared: Any = AutoConfig.from_pretrained(settings.model, **source)
    stored = str(getattr(declared, "dtype", None) or "float32").removeprefix("torch.")
    dtype = facts.loaded_dtype(engine, stored)
    quantised = facts.is_quantised(engine) or getattr(declared, "quantization_config", None)
    size = _sum_weight_files(settings.model, settings.revision)
    if size is not None and not quantised:
        size = size * DTYPE_BYTES.get(dtype, 2) // DTYPE_BYTES.get(stored, 4)
    cached = facts.cached_bytes(engine, DTYPE_BYTES.get(dtype, 2))
    keeps_none = declared.model_type in ENCODERS
    token = 0 if keeps_none else _count_cached_numbers(declared.get_text_config()) * cached
    return Memory(size, "quantised, as stored" if quantised else dtype, token)


def _count_cached_numbers(text: Any) -> int:
    heads = text.num_attention_heads
    shared = getattr(text, "num_key_value_heads", None) or heads
    each = getattr(text, "head_dim", None) or text.hidden_size // heads
    return 2 * text.num_hidden_layers * shared * each


def _sum_weight_files(model: str, revision: str | None) -> int | None:
    """Bytes of a model's weight files; None where the hub does not answer."""
    if Path(model).is_dir():
        sizes = {path.name: path.stat().st_size for path in Path(model).iterdir()}
    else:
        from huggingface_hub import HfApi

        try:
            info = HfApi().model_info(model, revision=revision, files_metadata=True)
        except Exception:  # of many kinds, and all of them mean that the size is not known
            return None
        sizes = {file.rfilename: file.size or 0 for file in info.siblings or []}
    for ending in (".safetensors", ".bin"):  # some have both; Mistral's are there a second time, consolidated
        if total := sum(size for name, size in sizes.items() if _is_part(name, ending)):
            return total
    return None


def _is_part(name: str, ending: str) -> bool:
    return name.endswith(ending) and "/" not in name and not name.startswith(("consolidated", "training_args"))
