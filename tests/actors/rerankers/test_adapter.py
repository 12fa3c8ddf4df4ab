"""LoRA adapters: both engines score as a model does whose weights were merged by the formula, written out here."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from actors.rerankers.adapter import read_adapter
from actors.rerankers.settings import Settings
from tests import tiny
from tests.parity import ENGINES, RTOL, SOME_PAIRS, score_pairs, scores

PAIRS = SOME_PAIRS[::2]
TARGETS = ("q_proj", "v_proj", "down_proj")
ALPHAS = {"layers.1.self_attn.q_proj": 3, "v_proj": 8}


def merge(base: str, adapter: str, scale: Callable[[str], float], folder: Path, **config: Any) -> str:
    """A copy of the base model with W + scale * B A for each weight W that the adapter has B and A for, and its head.
    config: keys of config.json."""
    shutil.copytree(base, folder)
    weights, own = load_file(f"{base}/model.safetensors"), load_file(f"{adapter}/adapter_model.safetensors")
    for key, tensor in own.items():
        name = key.removeprefix("base_model.model.")
        if name.endswith("lora_A.weight"):
            weight = name.replace("lora_A.weight", "weight")
            b = own[key.replace("lora_A", "lora_B")]
            weights[weight] = weights[weight] + scale(weight) * b @ tensor
        elif "lora_" not in name:
            weights[name] = tensor
            del weights["lm_head.weight"]
    save_file(weights, folder / "model.safetensors")
    about = folder / "config.json"
    about.write_text(json.dumps(json.loads(about.read_text()) | config))
    return str(folder)


def patterned(name: str) -> float:
    """alpha / sqrt(rank) of a rank-stabilised adapter with ALPHAS."""
    alpha = 3 if "layers.1.self_attn.q_proj" in name else 8 if "v_proj" in name else 16
    return alpha / 4**0.5


BOTH = ("transformers", "cached")
RANKLLAMA = {"query_template": "query: {query}", "doc_template": "document: {doc}"}
CLASSIFIER = {"architectures": ["LlamaForSequenceClassification"], "num_labels": 1}  # made of a language model
STABILISED = {"labels": 0, "use_rslora": True, "alpha_pattern": ALPHAS}


@pytest.mark.parametrize(
    ("reranker", "base", "changes", "more", "scale", "engines"),
    [
        ({"type": "cross_encoder", **RANKLLAMA}, "llama2", CLASSIFIER, {}, lambda name: 16 / 4, BOTH),
        ({"type": "lb"}, "qwen2", {}, STABILISED, patterned, BOTH),
        ({"type": "bi_encoder"}, "qwen2", {}, STABILISED, patterned, BOTH[:1]),
    ],
    ids=["rankllama", "lb", "without-its-head"],
)
def test_scores_are_those_of_the_merged_model(
    reranker: dict,
    base: str,
    changes: dict,
    more: dict,
    scale: Callable,
    engines: tuple[str, ...],
    tiny_model: Callable,
    tmp_path: Path,
) -> None:
    model = tiny_model(base)
    (tmp_path / "lora").mkdir()
    adapter = tiny.lora(tmp_path / "lora", model, *TARGETS, **more)
    merged = merge(model, adapter, scale, tmp_path / "merged", **changes)
    expected = scores(score_pairs(reranker | {"model": merged}, ENGINES["transformers"], PAIRS))
    assert np.ptp(expected) > 0.1
    for engine in engines:
        given = ENGINES[engine] | ({"hf_overrides": changes} if changes else {})
        got = scores(score_pairs(reranker | {"model": model, "adapter": adapter}, given, PAIRS))
        np.testing.assert_allclose(got, expected, rtol=RTOL, atol=1e-5)


@pytest.mark.parametrize(("base", "labels"), [("llama2", 1), ("llama_classifier", 2), ("bert", 0)])
def test_transformers_merges_nothing_that_does_not_fit(
    base: str, labels: int, tiny_model: Callable, tmp_path: Path
) -> None:
    adapter = tiny.lora(tmp_path, tiny_model("llama_classifier"), "q_proj", labels=labels)
    kind = "rankinggpt" if base == "llama2" else "cross_encoder"
    with pytest.raises(ValueError, match=r"has no place for the adapter's score.weight|changes model\.layers"):
        score_pairs({"type": kind, "model": tiny_model(base), "adapter": adapter}, ENGINES["transformers"], PAIRS[:1])


def read(folder: str) -> Any:
    return read_adapter(Settings(type="", model=folder))


@pytest.mark.parametrize(
    ("more", "line"),
    [
        ({"peft_type": "IA3"}, "peft_type = 'IA3' in its adapter_config.json: only LORA is merged here"),
        ({"use_dora": True}, "use_dora = True in its adapter_config.json: such an adapter is not merged here"),
        ({"bias": "lora_only"}, "bias = 'lora_only'"),
        ({"lora_bias": True}, "lora_bias = True"),
        ({"fan_in_fan_out": True}, "fan_in_fan_out = True"),
        ({"layer_replication": [[0, 2]]}, "layer_replication = "),
        ({"trainable_token_indices": [5]}, "trainable_token_indices = "),
        ({"target_parameters": ["experts.down_proj"]}, "target_parameters = "),
        ({"init_lora_weights": "pissa"}, "init_lora_weights = 'pissa'"),
        ({"init_lora_weights": "olora"}, "init_lora_weights = 'olora'"),
        ({"something_new": 1}, "something_new = 1"),
        ({"modules_to_save": ["lm_head"]}, "its tensor base_model.model.score.weight is not of a form"),
    ],
)
def test_what_a_merge_would_leave_out_is_refused_by_name(
    more: dict[str, Any], line: str, tiny_model: Callable, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=line):
        read(tiny.lora(tmp_path, tiny_model("llama_classifier"), "q_proj", **more))


@pytest.mark.parametrize(
    "more",
    [
        {"init_lora_weights": "gaussian"},
        {"lora_bias": False, "layer_replication": None, "megatron_core": "megatron.core"},
        {"eva_config": {"rho": 2.0}, "init_lora_weights": "eva", "loftq_config": {}},
    ],
)
def test_how_it_was_trained_is_no_matter(more: dict[str, Any], tiny_model: Callable, tmp_path: Path) -> None:
    assert len(read(tiny.lora(tmp_path, tiny_model("llama_classifier"), "q_proj", **more)).low_rank) == 2


LAYER = "base_model.model.model.layers.0.self_attn.q_proj"


@pytest.mark.parametrize(
    ("edit", "line"),
    [
        (lambda t: t.pop(f"{LAYER}.lora_B.weight"), "one half of model.layers.0.self_attn.q_proj alone"),
        (lambda t: t.update({f"{LAYER}.lora_magnitude_vector.weight": torch.ones(3)}), "lora_magnitude_vector.weight"),
        (
            lambda t: t.update({"base_model.model.model.norm.lora_magnitude": torch.ones(3)}),
            "lora_magnitude is not of a",
        ),
        (lambda t: t.update({"base_model.model.model.embed_tokens.lora_embedding_A": torch.ones(3)}), "embed_tokens "),
        (lambda t: t.update({"base_model.model.lm_head.lora_A.weight": torch.ones(4, 64)}), "lm_head .* may be tied"),
        (lambda t: t.update({"base_model.model.lm_head.weight": torch.ones(9, 64)}), "lm_head .* may be tied"),
        (lambda t: t[f"{LAYER}.lora_A.weight"].fill_(float("nan")), "NaN or infinite"),
        (lambda t: [t.pop("base_model.model.score.weight"), *(x.zero_() for x in t.values())], "changes nothing"),
    ],
)
def test_tensors_that_cannot_be_merged_are_named(
    edit: Callable, line: str, tiny_model: Callable, tmp_path: Path
) -> None:
    folder = tiny.lora(tmp_path, tiny_model("llama_classifier"), "q_proj")
    tensors = load_file(f"{folder}/adapter_model.safetensors")
    edit(tensors)
    save_file(tensors, f"{folder}/adapter_model.safetensors")
    with pytest.raises(ValueError, match=line):
        read(folder)


@pytest.mark.parametrize("file", ["adapter_config.json", "adapter_model.safetensors"])
def test_a_file_that_is_missing_is_named(file: str, tiny_model: Callable, tmp_path: Path) -> None:
    folder = tiny.lora(tmp_path, tiny_model("llama_classifier"), "q_proj")
    (tmp_path / file).unlink()
    with pytest.raises(ValueError, match=f"it has no {file}"):
        read(folder)


@pytest.mark.parametrize(
    ("names", "shape", "line"),
    [
        (["model.layers.0.self_attn.q_proj.weight"], (64, 64), "changes model.layers.1.self_attn.q_proj.weight"),
        (["layers.0.self_attn.q_proj.weight"], (64, 64), "changes model.layers.0.self_attn.q_proj.weight"),
        (["model.layers.0.self_attn.q_proj.weight"], (64, 32), r"has the shape \(64, 32\) in the base model, and"),
    ],
)
def test_a_base_model_that_it_does_not_fit_is_refused(
    names: list[str], shape: tuple[int, int], line: str, tiny_model: Callable, tmp_path: Path
) -> None:
    adapter = read(tiny.lora(tmp_path, tiny_model("llama_classifier"), "q_proj"))
    with pytest.raises(ValueError, match=line):
        list(adapter.merge((name, torch.zeros(shape)) for name in names))


def test_pickled_weights_are_read_too(tiny_model: Callable, tmp_path: Path) -> None:
    folder = tiny.lora(tmp_path, tiny_model("llama_classifier"), "q_proj")
    before = read(folder)
    torch.save(load_file(f"{folder}/adapter_model.safetensors"), tmp_path / "adapter_model.bin")
    (tmp_path / "adapter_model.safetensors").unlink()
    assert read(folder).low_rank.keys() == before.low_rank.keys()
    assert json.loads((tmp_path / "adapter_config.json").read_text())["r"] == 4
