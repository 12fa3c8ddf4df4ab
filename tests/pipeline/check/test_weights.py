"""Checkpoints held against their architecture: faults are planted in sound ones, which are what transformers saved."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSequenceClassification

from actors.engines import get_engine
from pipeline.check.checkpoint import Tensor
from pipeline.check.weights import check_head, compare
from pipeline.errors import UsageError
from tests.pipeline.check.conftest import Edit, look

Tensors = dict[str, torch.Tensor]
# Tiny model -> the type of its reranker, the name of its head or of its table of embeddings, and of its last layer.
MODELS = {
    "qwen2": ("lb", "model.embed_tokens.", "model.layers.1."),
    "llama_classifier": ("cross_encoder", "score.", "model.layers.1."),
    "bert": ("cross_encoder", "classifier.", "bert.encoder.layer.1."),
    "modernbert": ("cross_encoder", "classifier.", "model.layers.1."),
    "xlm_roberta": ("cross_encoder", "classifier.out_proj.", "roberta.encoder.layer.1."),
    "bloom": ("rankinggpt", "transformer.word_embeddings.", "transformer.h.1."),
}
OTHERS = {
    "qwen3": "qwen3",
    "rank1_qwen2": "rank1",
    "llama3": "rank1",
    "mistral": "rank1",
    "llama2": "rankinggpt",
    "gemma": "bge_gemma",
}


@pytest.mark.parametrize(("name", "kind"), [(name, kind) for name, (kind, *_) in MODELS.items()] + [*OTHERS.items()])
def test_what_transformers_saved_is_sound(name: str, kind: str, built: Callable) -> None:
    assert look(built(name), kind) is None


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("t5", "t5"),
        ("flan_t5", "t5"),
        ("deberta_v3", "cross_encoder"),
    ],
)
def test_a_model_that_vllm_does_not_run_is_sound_for_transformers(
    name: str, kind: str, built: Callable, capsys: pytest.CaptureFixture
) -> None:
    assert look(built(name), kind, {"type": "transformers"}) is None
    assert "rayrank:" not in capsys.readouterr().err


def test_a_t5_as_older_versions_of_transformers_saved_it_is_sound(
    copy: Callable, capsys: pytest.CaptureFixture
) -> None:
    """With its one table of embeddings three times more, and a bias that no model has had a place for."""
    again = ("encoder.embed_tokens.weight", "decoder.embed_tokens.weight", "lm_head.weight")
    unused = {"decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight": torch.zeros(32, 2)}
    folder = copy("t5", lambda tensors: tensors | {key: tensors["shared.weight"].clone() for key in again} | unused)
    assert look(folder, "t5", {"type": "transformers"}) is None
    assert "rayrank:" not in capsys.readouterr().err


def test_a_real_model_is_sound(minilm: str) -> None:
    assert look(Path(minilm), "bi_encoder") is None


def without(part: str) -> Edit:
    return lambda tensors: {name: tensor for name, tensor in tensors.items() if not name.startswith(part)}


def extended(name: str, *shape: int) -> Edit:
    return lambda tensors: tensors | {name: torch.zeros(shape)}


@pytest.mark.parametrize(("name", "kind", "head", "last"), [(name, *about) for name, about in MODELS.items()])
@pytest.mark.parametrize("fault", ["no head", "no last layer", "wrapped", "too deep", "another's"])
def test_a_tensor_that_does_not_fit_is_named(
    fault: str, name: str, kind: str, head: str, last: str, copy: Callable
) -> None:
    deep = last.rpartition("1.")[0] + "0."
    folder, line = {
        "no head": lambda: (copy(name, without(head)), f"its files lack the tensor (lm_head|{head})"),
        "no last layer": lambda: (copy(name, without(last)), f"its files lack the tensor {last}.* others"),
        "wrapped": lambda: (
            copy(name, lambda tensors: {f"base_model.model.{key}": value for key, value in tensors.items()}),
            "has base_model.model.*a name of peft's: save the model again after merge_and_unload",
        ),
        "too deep": lambda: (copy(name, extended(f"{deep}adapter.weight", 3)), f"have the tensor {deep}adapter.weight"),
        "another's": lambda: (copy(name, hidden_size=128), r"the tensor \S+ .*by config.json it is \[.*128"),
    }[fault]()
    with pytest.raises(UsageError, match=f"^reranker.model = '{folder}': .*{line}"):
        look(folder, kind)


@pytest.mark.parametrize(
    ("name", "edit", "kind", "line"),
    [
        (
            "xlm_roberta",
            extended("roberta.pooler.dense.weight", 64, 64),
            "cross_encoder",
            "roberta.pooler.dense.weight",
        ),
        ("bert", extended("cls.predictions.bias", 9), "cross_encoder", "cls.predictions.bias"),
        ("qwen2", extended("v_head.summary.weight", 1, 64), "lb", "v_head.summary.weight"),
    ],
)
def test_a_part_that_the_model_does_not_have_is_said(
    name: str, edit: Edit, kind: str, line: str, copy: Callable, capsys: pytest.CaptureFixture[str]
) -> None:
    assert look(copy(name, edit), kind) is None
    assert f"makes no use of the tensor {line}\n" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "kind", "edit"),
    [
        ("bert", "bi_encoder", lambda tensors: {key[5:]: t for key, t in without("bert.pooler.")(tensors).items()}),
        ("qwen3", "bi_encoder", lambda tensors: {key.removeprefix("model."): value for key, value in tensors.items()}),
        ("llama2", "bi_encoder", without("lm_head.")),
        ("bert", "cross_encoder", lambda tensors: {key.removeprefix("bert."): t for key, t in tensors.items()}),
        ("bert", "cross_encoder", extended("bert.embeddings.position_ids", 1, 512)),
        ("llama2", "rankinggpt", extended("model.layers.0.self_attn.rotary_emb.inv_freq", 16)),
    ],
)
def test_what_transformers_loads_is_sound(name: str, kind: str, edit: Edit, copy: Callable) -> None:
    bare = {"architectures": ["BertModel"]} if (name, kind) == ("bert", "bi_encoder") else {}
    assert look(copy(name, edit, **bare), kind) is None


SAVERS = {
    "shards": lambda model, folder: model.save_pretrained(folder, max_shard_size="60KB"),
    "pickle": lambda model, folder: torch.save(model.state_dict(), folder / "pytorch_model.bin"),
}


@pytest.mark.parametrize("form", SAVERS)
@pytest.mark.parametrize(
    ("name", "kind", "auto"),
    [
        ("qwen2", "lb", AutoModelForCausalLM),
        ("bert", "cross_encoder", AutoModelForSequenceClassification),
        ("bloom", "rankinggpt", AutoModelForCausalLM),
    ],
)
def test_other_forms_of_files_are_sound_and_a_damaged_one_is_named(
    form: str, name: str, kind: str, auto: Any, copy: Callable
) -> None:
    folder = copy(name)
    model = auto.from_pretrained(folder)
    (folder / "model.safetensors").unlink()
    SAVERS[form](model, folder)
    assert look(folder, kind) is None
    file = max(path for path in folder.iterdir() if path.suffix in (".safetensors", ".bin"))
    file.write_bytes(file.read_bytes()[:-700])
    with pytest.raises(UsageError, match=f"^{file}: cannot be read .*; copy or download it again"):
        look(folder, kind)
    if form == "shards":
        file.unlink()
        with pytest.raises(UsageError, match=rf"^{file}: no such file, and .*json names it \(1 of \d are gone\)"):
            look(folder, kind)


def packed(*kinds: str) -> Edit:
    """The tensors with others in place of the weight of each linear layer."""

    def pack(tensors: Tensors) -> Tensors:
        kept = {name: tensor for name, tensor in tensors.items() if not name.endswith("proj.weight")}
        stems = [name.removesuffix("weight") for name in tensors.keys() - kept.keys()]
        return kept | {stem + kind: torch.zeros(8, 2, dtype=torch.int32) for stem in stems for kind in kinds}

    return pack


@pytest.mark.parametrize(
    ("method", "kinds"),
    [
        ("awq", ["qweight", "qzeros", "scales"]),
        ("gptq", ["qweight", "qzeros", "scales", "g_idx"]),
        ("compressed-tensors", ["weight_packed", "weight_scale", "weight_shape", "weight_zero_point"]),
        ("fp8", ["weight", "weight_scale_inv", "input_scale"]),
    ],
)
def test_quantised_weights_are_sound_unless_one_is_missing(
    method: str, kinds: list[str], copy: Callable, built: Callable
) -> None:
    folder = copy("llama3", packed(*kinds), quantization_config={"quant_method": method})
    assert look(folder, "rank1") is None
    tensors, original = load_file(folder / "model.safetensors"), load_file(built("llama3") / "model.safetensors")
    save_file(without("model.layers.1.mlp.up_proj.")(tensors), folder / "model.safetensors")
    with pytest.raises(UsageError, match=r"lack the tensor model\.layers\.1\.mlp\.up_proj\.weight, which Llama"):
        look(folder, "rank1")
    save_file(without(f"model.layers.1.mlp.up_proj.{kinds[1]}")(tensors), folder / "model.safetensors")
    with pytest.raises(
        UsageError, match=rf"lack the tensor model\.layers\.1\.mlp\.up_proj\.{kinds[1]}, which the same"
    ):
        look(folder, "rank1")
    first = without("model.layers.0.")(tensors) | {key: t for key, t in original.items() if ".layers.0." in key}
    save_file(first, folder / "model.safetensors")  # whose first layer is not quantised
    assert look(folder, "rank1") is None


def test_an_adapter_is_refused_beside_its_bases_config_or_alone(copy: Callable) -> None:
    folder = copy("llama_classifier")
    (folder / "model.safetensors").rename(folder / "adapter_model.safetensors")
    for _ in range(2):
        with pytest.raises(
            UsageError, match=f"^{folder}/adapter_model.safetensors: is an adapter's, .*as reranker.ada"
        ):
            look(folder, "cross_encoder")
        (folder / "config.json").unlink(missing_ok=True)


@pytest.mark.parametrize(
    ("engine", "config", "said"),
    [
        ({"load_format": "tensorizer"}, {}, "another form"),
        ({}, {"architectures": ["GteNewForSequenceClassification"]}, "no architecture GteNewForSequenceClassification"),
    ],
)
def test_what_cannot_be_held_against_an_architecture_is_said(
    engine: dict[str, Any], config: dict[str, Any], said: str, copy: Callable
) -> None:
    assert said in (look(copy("bert", **config), "cross_encoder", engine) or "")


def test_a_model_of_70_billion_takes_seconds() -> None:
    sizes = {"hidden_size": 8192, "num_hidden_layers": 80, "num_attention_heads": 64, "num_key_value_heads": 8}
    config = AutoConfig.for_model("llama", intermediate_size=28672, vocab_size=128256, **sizes)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    tensors = {name: Tensor(tuple(tensor.shape), "BF16", "f") for name, tensor in model.state_dict().items()}
    assert len(tensors) == 723
    compare("m", model, tensors)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    del tensors["model.layers.79.mlp.up_proj.weight"]
    with pytest.raises(UsageError, match=r"layers\.79\.mlp\.up_proj"):
        compare("m", model, tensors)


@pytest.mark.parametrize(
    ("kind", "config", "line"),
    [
        ("phi", {}, "a bias of its head"),
        ("falcon_h1", {"lm_head_multiplier": 0.5}, "lm_head_multiplier"),
        ("recurrent_gemma", {"logits_soft_cap": 30.0}, "logits_soft_cap"),
    ],
)
def test_a_head_that_is_more_than_its_rows_goes_with_exact_alone(kind: str, config: dict[str, Any], line: str) -> None:
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **config))
    with pytest.raises(UsageError, match=f"scoring = 'head': m changes its logits by {line}, .*take scoring: exact"):
        check_head(get_engine({}), "m", model)
    check_head(get_engine({"type": "transformers"}), "m", model)  # whose logits the model's own code makes


@pytest.mark.parametrize(("scoring", "fits"), [("exact", True), ("head", False)])
def test_only_scoring_of_the_head_is_refused(scoring: str, fits: bool, copy: Callable) -> None:
    folder = copy("qwen2", lm_head_multiplier=0.5)
    if fits:
        assert look(folder, "lb", scoring=scoring) is None
    else:
        with pytest.raises(UsageError, match="lm_head_multiplier"):
            look(folder, "lb", scoring=scoring)
