"""Checkpoints and configs with a fault planted that headers, names or the small tensors of a head show."""

import json
import shutil
from collections.abc import Callable
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModel

from pipeline.errors import UsageError
from tests.pipeline.check.conftest import look


@pytest.mark.parametrize("method", ["gptq", "awq"])
def test_a_quantisation_that_the_files_do_not_have_is_refused(method: str, copy: Callable) -> None:
    with pytest.raises(
        UsageError, match=f"quantization_config of its config.json says {method}, and its files have no"
    ):
        look(copy("llama3", quantization_config={"quant_method": method}), "rank1")


@pytest.mark.parametrize("method", ["int4magic", "bitsandbytes", "awq3"])
def test_a_quantisation_that_the_engine_does_not_have_is_refused(method: str, copy: Callable) -> None:
    with pytest.raises(UsageError, match=f"no quantisation by the quant_method '{method}'"):
        look(copy("llama3", quantization_config={"quant_method": method}), "rank1")


@pytest.mark.parametrize(
    ("name", "kind", "about", "line"),
    [
        ("bert", "cross_encoder", {"architectures": None}, "names no architectures"),
        ("llama3", "rank1", {"architectures": []}, "names no architectures"),
        (
            "bert",
            "cross_encoder",
            {"hidden_act": "swigelu"},
            "at fault: transformers cannot build the model: .*swigelu",
        ),
        ("llama3", "rank1", {"rope_parameters": {"rope_type": "yarnn"}}, "at fault: .*yarnn"),
        ("llama3", "rank1", {"hidden_size": "64"}, "at fault: .*hidden_size"),
        ("qwen2", "lb", {"vocab_size": 300}, "at fault: .*Padding_idx"),
        ("modernbert", "cross_encoder", {"classifier_pooling": "max"}, "at fault: .*classifier_pooling"),
    ],
)
def test_a_config_that_no_model_can_be_built_from_is_refused(
    name: str, kind: str, about: dict[str, Any], line: str, copy: Callable
) -> None:
    with pytest.raises(UsageError, match=line):
        look(copy(name, **about), kind)


@pytest.mark.parametrize("numbers", [{"no": 1, "yes": 0}, {"no": "1", "yes": "0"}, {"yes": 0, "no": 0}])
def test_labels_that_contradict_each_other_are_refused(numbers: dict[str, Any], copy: Callable) -> None:
    about = {"id2label": {"0": "no", "1": "yes"}, "label2id": numbers}
    with pytest.raises(UsageError, match=r"id2label = .* and label2id = .* contradict each other"):
        look(copy("bert", **about), "cross_encoder")


@pytest.mark.parametrize("dtype", [torch.int64, torch.int8, torch.uint8])
def test_whole_numbers_that_are_not_quantised_are_refused(dtype: torch.dtype, copy: Callable) -> None:
    name = "model.layers.1.mlp.up_proj.weight"
    with pytest.raises(UsageError, match=f"the tensor {name} of .* has whole numbers"):
        look(copy("qwen2", lambda tensors: tensors | {name: tensors[name].to(dtype)}), "lb")


@pytest.mark.parametrize("other", ["model-00001-of-00001.safetensors", "old.safetensors", "checkpoint.safetensors"])
def test_two_sets_of_weights_without_an_index_are_refused(other: str, copy: Callable) -> None:
    folder = copy("bert")
    shutil.copyfile(folder / "model.safetensors", folder / other)
    with pytest.raises(UsageError, match="and no index says which of them counts"):
        look(folder, "cross_encoder")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 9\n", "is a pointer of Git LFS"),
        ("<!DOCTYPE html><html><body>Log in</body></html>", "is a web page"),
        ("\n<html lang=en>", "is a web page"),
    ],
)
@pytest.mark.parametrize("file", ["model.safetensors", "pytorch_model.bin"])
def test_what_stands_in_place_of_weights_is_named(file: str, text: str, line: str, copy: Callable) -> None:
    folder = copy("bert")
    (folder / "model.safetensors").unlink()
    (folder / file).write_text(text)
    with pytest.raises(UsageError, match=f"^{folder / file}: {line}"):
        look(folder, "cross_encoder")


@pytest.mark.parametrize(
    ("name", "head", "value", "line"),
    [
        ("bert", "classifier.weight", 0.0, "is all zeros"),
        ("llama_classifier", "score.weight", 0.0, "is all zeros"),
        ("xlm_roberta", "classifier.out_proj.weight", 0.0, "is all zeros"),
        ("bert", "classifier.bias", float("nan"), "NaN or infinite"),
        ("llama_classifier", "score.weight", float("inf"), "NaN or infinite"),
        ("modernbert", "classifier.weight", float("-inf"), "NaN or infinite"),
        ("bert", "classifier.bias", 0.0, None),
        ("xlm_roberta", "classifier.dense.bias", 0.0, None),
    ],
)
def test_a_head_that_gives_no_score_is_refused(
    name: str, head: str, value: float, line: str | None, copy: Callable
) -> None:
    folder = copy(name, lambda tensors: tensors | {head: torch.full_like(tensors[head], value)})
    if line is None:
        assert look(folder, "cross_encoder") is None
    else:
        with pytest.raises(UsageError, match=f"the tensor {head} .*{line}"):
            look(folder, "cross_encoder")


def test_names_that_the_engine_does_not_load_are_refused_with_what_mends_them(copy: Callable) -> None:
    folder = copy("bert", architectures=["BertModel"])
    with pytest.raises(UsageError, match=r"whose names begin with bert.; save it again without its head: python -c"):
        look(folder, "bi_encoder")
    AutoModel.from_pretrained(folder).save_pretrained(folder)
    assert look(folder, "bi_encoder") is None


@pytest.mark.parametrize("name", ["qwen3", "qwen2", "llama3"])
def test_a_classifier_of_tokens_is_held_against_the_language_model(name: str, copy: Callable) -> None:
    folder = copy(name)
    kind = json.loads((folder / "config.json").read_text())["architectures"][0].replace("Causal", "")
    kind = kind.replace("ForLM", "ForSequenceClassification")
    engine = {"hf_overrides": {"architectures": [kind], "classifier_from_token": ["no", "yes"]}}
    assert look(folder, "cross_encoder", engine, prompt="{query} {doc}") is None
    tensors = load_file(folder / "model.safetensors")
    del tensors["model.layers.1.mlp.up_proj.weight"]
    save_file(tensors, folder / "model.safetensors")
    with pytest.raises(UsageError, match=r"lack the tensor model\.layers\.1\.mlp\.up_proj"):
        look(folder, "cross_encoder", engine, prompt="{query} {doc}")
