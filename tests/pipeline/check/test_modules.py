"""Files of sentence-transformers: what is computed is taken, what is not is refused or said by its name."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from pipeline.check.hub import read_model_config
from pipeline.check.model import check_model_files
from pipeline.check.modules import check_modules, note_modules
from pipeline.config import Config, parse
from pipeline.errors import UsageError

ST = "sentence_transformers.models."
TANH = "torch.nn.modules.activation.Tanh"
POOLING, ABOUT = "1_Pooling/config.json", "config_sentence_transformers.json"


def look(config: Config) -> None:
    check_modules(config, read_model_config(config.reranker)[0])


def modules(*names: str) -> list[dict[str, Any]]:
    return [{"idx": i, "path": f"{i}_{name}" if i else "", "type": ST + name} for i, name in enumerate(names)]


def pooled(**pooling: Any) -> dict[str, Any]:
    return {"modules.json": modules("Transformer", "Pooling"), POOLING: pooling}


def dense(
    into: int = 384, out: int = 32, place: int = 2, stem: str = "linear.", name: str = "model.safetensors", **more: Any
) -> dict[str, Any]:
    """A stack whose last layer is a Dense, with its config and the shapes of its tensors."""
    about = {"in_features": into, "out_features": out, "bias": True, "activation_function": TANH} | more
    shapes = {f"{stem}weight": (out, into)} | ({f"{stem}bias": (out,)} if about["bias"] else {})
    names = ["Transformer", "Pooling", "Dense", "Dense"][: place + 1]
    folder = f"{place}_Dense"
    return {"modules.json": modules(*names), f"{folder}/config.json": about, f"{folder}/{name}": shapes}


@pytest.fixture
def make(minilm: str, tmp_path: Path) -> Callable[..., Config]:
    """A config for all-MiniLM-L6-v2 with other files of sentence-transformers; None takes a file away."""

    def make(files: dict[str, Any], engine: dict[str, Any] | None = None, **reranker: Any) -> Config:
        folder = tmp_path / f"model{len(engine or {})}"
        shutil.copytree(minilm, folder, ignore=shutil.ignore_patterns("*.safetensors", "*.bin", "onnx"))
        for name, written in files.items():
            (folder / name).parent.mkdir(exist_ok=True)
            if written is None:
                (folder / name).unlink(missing_ok=True)
            elif name.endswith(".json"):
                (folder / name).write_text(json.dumps(written))
            else:
                tensors = {key: torch.zeros(shape) for key, shape in written.items()}
                (save_file if name.endswith("safetensors") else torch.save)(tensors, folder / name)
        section = {"type": "bi_encoder", "model": str(folder)} | reranker
        return parse({"input": {"path": "p"}, "reranker": section, "engine": engine or {}, "output": {"path": "o"}})

    return make


@pytest.mark.parametrize(
    ("files", "line"),
    [
        (pooled(pooling_mode_max_tokens=True), "1_Pooling/config.json asks for the pooling max_tokens"),
        (pooled(pooling_mode="weightedmean"), "the pooling weightedmean"),
        (pooled(pooling_mode_cls_token=True, pooling_mode_mean_tokens=True), "cls_token and mean_tokens"),
        (pooled(pooling_mode=["mean", "max"]), "mean and max"),
        ({"modules.json": modules("Transformer", "Pooling", "LSTM")}, "has a module .*LSTM, which vLLM does not run"),
        ({"modules.json": modules("StaticEmbedding")}, "has a module .*StaticEmbedding"),
        ({"modules.json": modules("Transformer", "WordWeights", "Pooling")}, "has a module .*WordWeights"),
        (pooled(pooling_mode="mean") | {ABOUT: {"similarity_fn_name": "dot"}}, "similarity 'dot', and .* cosines"),
        (pooled(pooling_mode_cls_token=False), "1_Pooling/config.json has no pooling mode that is true"),
        (pooled(word_embedding_dimension=384), "has no pooling mode"),
        (pooled(pooling_mode=[]), "has no pooling mode"),
        (pooled(pooling_mode=["mean"]), r"has the list \['mean'\] as its pooling_mode, which vLLM does not read"),
        ({POOLING: None}, "has no 1_Pooling/config.json, and modules.json names 1_Pooling"),
        ({"modules.json": [*modules("Transformer"), {"path": "p", "type": ST + "Pooling"}]}, "names p"),
        ({"modules.json": [*modules("Transformer"), {"path": "1_Pooling", "type": "my.Pooling"}]}, "my.Pooling, which"),
        (
            dense() | {"modules.json": modules("Transformer", "Dense", "Pooling")},
            "Dense, Pooling, and vLLM",
        ),
        ({ABOUT: {"similarity_fn_name": "euclidean"}}, "similarity 'euclidean'"),
        ({ABOUT: {"similarity_fn_name": "manhattan"}}, "similarity 'manhattan'"),
    ],
)
def test_what_is_not_computed_is_refused(files: dict[str, Any], line: str, make: Callable[..., Config]) -> None:
    with pytest.raises(UsageError, match=f"^reranker.model = '.*/model0': .*{line}"):
        check_model_files(make(files), weights=False)


@pytest.mark.parametrize(
    ("files", "engine"),
    [
        ({}, {}),
        (pooled(pooling_mode_mean_tokens=True, include_prompt=True, word_embedding_dimension=384), {}),
        (pooled(pooling_mode="cls"), {}),
        (pooled(pooling_mode_lasttoken=True), {}),
        (dense(), {}),
        (dense(name="pytorch_model.bin"), {}),
        (dense(384, 64, stem="", activation_function="gelu"), {}),
        (dense(bias=False), {}),
        (dense(384, 64) | dense(64, 8, place=3), {}),
        ({"modules.json": modules("Transformer", "Pooling", "Dropout")}, {}),
        ({"modules.json": [*modules("Transformer", "Pooling"), {"path": "2_Normalize", "type": "my.Normalize"}]}, {}),
        ({ABOUT: {"similarity_fn_name": "cosine"}}, {}),
        ({ABOUT: {"similarity_fn_name": None}}, {}),
        ({"modules.json": modules("Transformer", "Pooling", "Normalize"), ABOUT: {"similarity_fn_name": "dot"}}, {}),
        (pooled(pooling_mode="max"), {"pooler_config": {"seq_pooling_type": "MEAN"}}),
    ],
)
def test_what_is_computed_is_taken(files: dict[str, Any], engine: dict, make: Callable[..., Config]) -> None:
    look(make(files, engine))


@pytest.mark.parametrize(
    ("files", "line"),
    [
        (dense() | {"2_Dense/config.json": None}, "has no 2_Dense/config.json, and modules.json names 2_Dense"),
        (dense() | {"2_Dense/model.safetensors": None}, "2_Dense has neither model.safetensors nor pytorch_model.bin"),
        (dense(name="linear.safetensors"), "2_Dense has neither model.safetensors nor pytorch_model.bin"),
        (dense(768, 64), "in_features is 768, and 384 numbers come out"),
        (dense(384, 64) | dense(32, 8, place=3), "3_Dense/config.json: in_features is 32, and 64 numbers come"),
        (dense(in_features="384"), "should be whole numbers, not '384' and 32"),
        (dense(out_features=16), r"weight \[32, 384\] and bias \[32\]; by the layer's config.json it is weight \[16,"),
        (dense() | {"2_Dense/model.safetensors": {"linear.weight": (32, 384)}}, "has the tensors weight .* and bias"),
        (dense(bias=False) | {"2_Dense/model.safetensors": {"weight": (32, 384), "bias": (32,)}}, "and bias .*; by"),
        (dense(stem="projection."), "has none of the tensors weight, .*, but projection.bias, projection.weight"),
        (dense(activation_function="my.Swish"), "activation_function is 'my.Swish', which vLLM does not have"),
        (dense(activation_function="torch.nn.modules.activation.Mish"), "Mish', which vLLM does not have"),
        (dense(activation_function=None), "names no activation_function"),
    ],
)
def test_a_dense_that_the_engine_would_leave_out_is_refused(
    files: dict[str, Any], line: str, make: Callable[..., Config]
) -> None:
    for engine in ({}, {"pooler_config": {"seq_pooling_type": "MEAN"}}):
        with pytest.raises(UsageError, match=line):
            look(make(files, engine))


@pytest.mark.parametrize(
    ("names", "heads"),
    [
        (["Transformer", "Pooling", "Dense", "Dense"], True),
        (["Transformer", "LogitScore"], True),
        (["Transformer"], False),
    ],
)
def test_a_cross_encoder_of_modules_is_refused_by_their_names(
    names: list[str], heads: bool, make: Callable[..., Config]
) -> None:
    config = make({"modules.json": modules(*names)}, type="cross_encoder")
    if heads:
        with pytest.raises(UsageError, match=f"its modules.json is a stack of {', '.join(names)}, whose head vLLM"):
            check_model_files(config, weights=False)
    else:
        look(config)


@pytest.mark.parametrize(
    ("files", "reranker", "notes"),
    [
        ({}, {}, []),
        ({"modules.json": None}, {}, ["has no modules.json, so vLLM pools by its default"]),
        ({ABOUT: {"prompts": {"query": "Find: ", "document": ""}}}, {}, ["has prompts (query), which are not put"]),
        ({ABOUT: {"prompts": {"query": "", "document": ""}}}, {}, []),
        ({ABOUT: {"prompts": {"query": "Find: "}}}, {"query_template": "Find: {query}"}, []),
        ({"sentence_bert_config.json": {"do_lower_case": True}}, {}, ["has do_lower_case"]),
    ],
)
def test_what_is_not_used_is_said(
    files: dict[str, Any], reranker: dict[str, str], notes: list[str], make: Callable[..., Config]
) -> None:
    said = note_modules(make(files, **reranker))
    assert len(said) == len(notes) and all(note in line for note, line in zip(notes, said, strict=True))


@pytest.mark.parametrize("template", ["query_template", "doc_template"])
@pytest.mark.parametrize(
    ("included", "prompt", "fits"), [(False, "find: ", False), (True, "find: ", True), (False, "", True)]
)
def test_a_prompt_that_is_to_be_left_out_of_the_pooling_is_refused(
    template: str, included: bool, prompt: str, fits: bool, make: Callable[..., Config]
) -> None:
    files = pooled(pooling_mode="mean", include_prompt=included)
    config = make(files, **{template: prompt + "{" + template.partition("_")[0] + "}"})
    if fits:
        check_model_files(config, weights=False)
        return
    with pytest.raises(UsageError, match="include_prompt = false: the prompt's tokens are to be left"):
        check_model_files(config, weights=False)
