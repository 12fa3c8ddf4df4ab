"""Weights and cache of tiny models, counted by torch."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from transformers import AutoModelForCausalLM

from pipeline.config import Config, parse
from pipeline.estimate.memory import estimate_memory
from tests import tiny


def config(model: str, kind: str = "lb", **engine: str) -> Config:
    section = {"type": kind, "model": model}
    return parse({"input": {"path": "p"}, "reranker": section, "engine": engine, "output": {"path": "o"}})


@pytest.mark.parametrize(("dtype", "size"), [("float32", 4), ("bfloat16", 2), ("auto", 2)])
def test_weights_are_counted_in_the_type_they_are_loaded_as(dtype: str, size: int, qwen2: str) -> None:
    parameters = sum(p.numel() for p in AutoModelForCausalLM.from_pretrained(qwen2).parameters())
    assert estimate_memory(config(qwen2, dtype=dtype)).weights == pytest.approx(parameters * size, rel=0.02)


def test_a_token_takes_a_key_and_a_value_in_each_layer(qwen2: str) -> None:
    """The cache that transformers itself fills: of a prompt of ten tokens."""
    model = AutoModelForCausalLM.from_pretrained(qwen2)
    cache = model(input_ids=model.dummy_inputs["input_ids"][:1]).past_key_values
    tokens = cache.get_seq_length()
    numbers = sum(layer.keys.numel() + layer.values.numel() for layer in cache.layers)
    assert estimate_memory(config(qwen2, dtype="float32")).token == numbers * 4 / tokens
    assert estimate_memory(config(qwen2, dtype="float32", kv_cache_dtype="fp8")).token == numbers / tokens


def test_an_encoder_keeps_no_keys_and_values(tmp_path: Path, minilm: str) -> None:
    assert estimate_memory(config(minilm, "bi_encoder")).token == 0


def test_a_quantised_model_is_as_large_as_its_files(qwen2: str, tmp_path: Path) -> None:
    folder = Path(tiny.qwen2(tmp_path))
    declared = json.loads((folder / "config.json").read_text())
    declared["quantization_config"] = {"quant_method": "awq", "bits": 4, "group_size": 128}
    (folder / "config.json").write_text(json.dumps(declared))
    found = estimate_memory(config(str(folder), dtype="float16"))
    assert found.weights == (folder / "model.safetensors").stat().st_size and found.dtype == "quantised, as stored"


def test_sizes_of_the_hub_s_files_are_asked_for(qwen2: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both forms of the weights, and Mistral's second copy of them; only one of the three is loaded."""
    sizes = {"model-1.safetensors": 70, "model-2.safetensors": 30, "consolidated.safetensors": 100, "model.bin": 100}
    siblings = [SimpleNamespace(rfilename=name, size=size) for name, size in sizes.items()]
    monkeypatch.setattr("huggingface_hub.HfApi.model_info", lambda *_, **__: SimpleNamespace(siblings=siblings))
    monkeypatch.setattr("pipeline.estimate.memory.Path.is_dir", lambda path: False)
    assert estimate_memory(config(qwen2, dtype="float32")).weights == 100


def test_where_the_hub_does_not_answer_the_size_is_not_known(qwen2: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody(*_: object, **__: object) -> None:
        raise ConnectionError("no route")

    monkeypatch.setattr("huggingface_hub.HfApi.model_info", nobody)
    monkeypatch.setattr("pipeline.estimate.memory.Path.is_dir", lambda path: False)
    assert estimate_memory(config(qwen2)).weights is None
