"""The models of the checks, random and seeded, made on the spot: those of tests/tiny.py, and a Qwen2 of each size."""

from pathlib import Path
from typing import Any

from benchmarks import sizes
from tests import tiny


def save_model(name: str, folder: Path, device: str) -> str:
    """Saves a model: a function of tests/tiny.py, `bloom64`, or a size of benchmarks/sizes.py. Returns its folder."""
    if name in sizes.SIZES:
        return save_sized(name, folder, device)
    return save_bloom64(folder) if name == "bloom64" else getattr(tiny, name)(folder)


def save_bloom64(folder: Path) -> str:
    """The BLOOM of tests/tiny.py with heads of 64, as the published ones have."""
    from transformers import AutoTokenizer

    tokenizer: Any = AutoTokenizer.from_pretrained(tiny.bloom(folder))
    return tiny.save(folder, tokenizer, "bloom", hidden_size=128, seq_length=2048, tie_word_embeddings=True)


def save_sized(name: str, folder: Path, device: str) -> str:
    """A Qwen2 of a size, in bfloat16. Its weights are drawn on the device, which takes seconds on a GPU.

    Their standard deviation keeps what a layer adds as large as what it reads, at every size: the answer depends on the
    whole prompt, and rounding does not hide it.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    sizes.save_model(sizes.SIZES[name], folder, weights=False)
    config = AutoConfig.from_pretrained(folder, initializer_range=sizes.SIZES[name].hidden ** -0.5)
    torch.manual_seed(0)
    with torch.device(device):
        AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16).save_pretrained(folder)
    return str(folder)
