"""jobs/convert.py on tiny ModernBERT rerankers as sentence-transformers saves them, a module a folder.

sentence-transformers is not installed, so its modules are written out here in torch.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.nn.functional import gelu, layer_norm, linear
from transformers import AutoModelForSequenceClassification, AutoTokenizer, ModernBertConfig, ModernBertModel

from jobs.convert import main
from tests import tiny
from tests.actors.rerankers.test_whole_job import run, scores
from tests.parity import SOME_PAIRS, assert_same

HIDDEN = 64
GELU, IDENTITY = "torch.nn.modules.activation.GELU", "torch.nn.modules.linear.Identity"
VARIANTS: dict[str, dict[str, Any]] = {
    "as ettin": {},
    "mean": {"pooling": {"pooling_mode": "mean"}},
    "flags": {"pooling": {"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}},
    "biased": {"bias": True, "norm_bias": True},
    "half": {"dtype": torch.bfloat16},
}


def save_reranker(
    folder: Path,
    pooling: dict[str, Any] | None = None,
    bias: bool = False,
    norm_bias: bool = False,
    dtype: torch.dtype = torch.float32,
) -> None:
    """bias: of the first dense layer. norm_bias: of the encoder's norms; the module's own always has one."""
    folder.mkdir()
    tiny.modernbert(folder)
    torch.manual_seed(1)
    config = ModernBertConfig.from_pretrained(folder, norm_bias=norm_bias)
    model: Any = ModernBertModel(config)
    model.to(dtype)
    if norm_bias:
        for name, parameter in model.named_parameters():
            if name.endswith("norm.bias"):
                parameter.data.normal_()
    model.save_pretrained(folder)
    modules = ["Transformer", "Pooling", "Dense", "LayerNorm", "Dense"]
    places = ["", "1_Pooling", "2_Dense", "3_LayerNorm", "4_Dense"]
    listed = [
        {"idx": i, "name": str(i), "path": place, "type": f"sentence_transformers.models.{name}"}
        for i, (name, place) in enumerate(zip(modules, places, strict=True))
    ]
    names = {"module_input_name": "sentence_embedding", "module_output_name": "sentence_embedding"}
    first = {"in_features": HIDDEN, "out_features": HIDDEN, "bias": bias, "activation_function": GELU} | names
    last = {"in_features": HIDDEN, "out_features": 1, "bias": True, "activation_function": IDENTITY} | names
    configs = [pooling or {"embedding_dimension": HIDDEN, "pooling_mode": "cls", "include_prompt": True}, first]
    configs += [{"dimension": HIDDEN}, last | {"module_output_name": "scores"}]
    weights = [
        {},
        {"linear.weight": torch.randn(HIDDEN, HIDDEN) / 8} | ({"linear.bias": torch.randn(HIDDEN)} if bias else {}),
        {"norm.weight": torch.randn(HIDDEN), "norm.bias": torch.randn(HIDDEN)},
        {"linear.weight": torch.randn(1, HIDDEN), "linear.bias": torch.randn(1)},
    ]
    for place, about, tensors in zip(places[1:], configs, weights, strict=True):
        (folder / place).mkdir()
        (folder / place / "config.json").write_text(json.dumps(about))
        if tensors:
            save_file(
                {name: tensor.to(dtype) for name, tensor in tensors.items()}, folder / place / "model.safetensors"
            )
    (folder / "modules.json").write_text(json.dumps(listed))
    (folder / "sentence_bert_config.json").write_text(json.dumps({"transformer_task": "feature-extraction"}))


@torch.no_grad()
def compute(folder: Path, mean: bool) -> np.ndarray:
    """The stack's scores of SOME_PAIRS, module after module."""
    tokenizer, encoder = AutoTokenizer.from_pretrained(folder), ModernBertModel.from_pretrained(folder).float()
    first, norm, last = (
        {name: tensor.float() for name, tensor in load_file(folder / place / "model.safetensors").items()}
        for place in ("2_Dense", "3_LayerNorm", "4_Dense")
    )
    found = []
    for query, doc in SOME_PAIRS:
        states = encoder(**tokenizer(query, doc, return_tensors="pt")).last_hidden_state[0]
        pooled = states.mean(0) if mean else states[0]
        pooled = gelu(linear(pooled, first["linear.weight"], first.get("linear.bias")))
        pooled = layer_norm(pooled, (HIDDEN,), norm["norm.weight"], norm["norm.bias"])
        found.append(float(linear(pooled, last["linear.weight"], last["linear.bias"])))
    return np.array(found)


@pytest.mark.parametrize("variant", VARIANTS)
@torch.no_grad()
def test_the_logits_are_those_of_the_modules(variant: str, tmp_path: Path) -> None:
    save_reranker(tmp_path / "in", **VARIANTS[variant])
    assert main([str(tmp_path / "in"), str(tmp_path / "out")]) == 0
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "out")
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path / "out", dtype=torch.float32).eval()
    got = [float(model(**tokenizer(*pair, return_tensors="pt")).logits[0, 0]) for pair in SOME_PAIRS]
    expected = compute(tmp_path / "in", mean=variant == "mean")
    assert np.ptp(expected) > 1
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("variant", ["as ettin", "mean"])
def test_a_whole_job_gives_them_too(variant: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    save_reranker(tmp_path / "in", **VARIANTS[variant])
    assert main([str(tmp_path / "in"), str(tmp_path / "out")]) == 0
    says = f"{tmp_path / 'out'}: ModernBertForSequenceClassification, up to {tiny.CONTEXT} tokens\n"
    assert capfd.readouterr().out == says
    job = tmp_path / "job"
    job.mkdir()
    got = run(job, {"type": "cross_encoder", "model": str(tmp_path / "out")}, SOME_PAIRS)
    assert_same(scores(got), compute(tmp_path / "in", mean=variant == "mean"), atol=1e-5)


def edit(name: str, **values: Any) -> Callable[[Path], object]:
    """A change of keys in a JSON file; None takes a key away."""

    def change(folder: Path) -> None:
        path = folder / name
        old = json.loads(path.read_text()) if path.exists() else {}
        path.write_text(json.dumps({key: value for key, value in (old | values).items() if value is not None}))

    return change


def drop_module(number: int) -> Callable[[Path], object]:
    def change(folder: Path) -> None:
        modules = json.loads((folder / "modules.json").read_text())
        (folder / "modules.json").write_text(json.dumps(modules[:number] + modules[number + 1 :]))

    return change


def keep_tensors(name: str, *parts: str) -> Callable[[Path], object]:
    """Only those tensors of a file in whose names one of the parts is."""

    def change(folder: Path) -> None:
        kept = {key: tensor for key, tensor in load_file(folder / name).items() if any(part in key for part in parts)}
        save_file(kept, folder / name, metadata={"format": "pt"})

    return change


REFUSED: dict[str, tuple[Callable[[Path], object], str]] = {
    "no modules": (lambda folder: (folder / "modules.json").unlink(), "modules.json: No such file or directory"),
    "no list": (lambda folder: (folder / "modules.json").write_text("7"), "modules.json: 'int' object is not"),
    "no norm": (drop_module(3), "modules.json: is a stack of Transformer, Pooling, Dense, Dense; what can be"),
    "no head": (drop_module(2), "modules.json: is a stack of Transformer, Pooling, LayerNorm, Dense"),
    "max pooling": (edit("1_Pooling/config.json", pooling_mode="max"), "config.json: the pooling is max; cls or mean"),
    "two poolings": (
        edit("1_Pooling/config.json", pooling_mode_mean_tokens=True),
        "the pooling is cls and mean_tokens",
    ),
    "another activation": (
        edit("2_Dense/config.json", activation_function="torch.nn.modules.activation.Tanh"),
        "2_Dense/config.json: activation_function is 'torch.nn.modules.activation.Tanh', with which",
    ),
    "a sigmoid": (
        edit("4_Dense/config.json", activation_function="torch.nn.modules.activation.Sigmoid"),
        "4_Dense/config.json: activation_function is 'torch.nn.modules.activation.Sigmoid'",
    ),
    "a narrower head": (edit("2_Dense/config.json", out_features=32), "2_Dense/config.json: out_features is 32"),
    "two labels": (edit("4_Dense/config.json", out_features=2), "4_Dense/config.json: out_features is 2"),
    "an unknown key": (edit("2_Dense/config.json", use_residual=True), "2_Dense/config.json: use_residual is True"),
    "token states": (
        edit("2_Dense/config.json", module_input_name="token_embeddings"),
        "2_Dense/config.json: module_input_name is 'token_embeddings'",
    ),
    "another epsilon": (edit("config.json", norm_eps=1e-6), "config.json: norm_eps is 1e-06; the LayerNorm behind it"),
    "a prompt": (
        edit("config_sentence_transformers.json", prompts={"q": "Rank: "}, default_prompt_name="q"),
        "config_sentence_transformers.json: default_prompt_name is 'q'",
    ),
    "lower case": (edit("sentence_bert_config.json", do_lower_case=True), "do_lower_case is true"),
    "no weight": (
        keep_tensors("2_Dense/model.safetensors"),
        "2_Dense/model.safetensors: has tensors of the shapes {}, not",
    ),
    "no norm's bias": (
        keep_tensors("3_LayerNorm/model.safetensors", "weight"),
        "has tensors of the shapes {'norm.weight': (64,)}, not",
    ),
    "a bias that is not there": (edit("2_Dense/config.json", bias=True), "2_Dense/model.safetensors: has tensors of"),
    "a bias too many": (
        edit("4_Dense/config.json", bias=False),
        "4_Dense/model.safetensors: has tensors of the shapes",
    ),
    "a layer that is missing": (keep_tensors("model.safetensors", "embeddings", "layers.0", "final"), "is missing"),
    "a layer too many": (edit("config.json", num_hidden_layers=1, layer_types=["full_attention"]), "is left over"),
    "another size of the table": (edit("config.json", vocab_size=999), "has another shape than by config.json"),
    "quantised": (edit("config.json", quantization_config={"bits": 4}), "a quantised checkpoint cannot be converted"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_not_exact_is_refused_by_name(case: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    change, words = REFUSED[case]
    save_reranker(tmp_path / "in")
    change(tmp_path / "in")
    assert main([str(tmp_path / "in"), str(tmp_path / "out")]) == 2
    error = capfd.readouterr().err
    line = error.splitlines()[-1]
    assert line.startswith(f"convert: {tmp_path / 'in'}") and words in line, error
    assert not (tmp_path / "out").exists()
