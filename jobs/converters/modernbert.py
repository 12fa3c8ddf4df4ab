"""ModernBERT rerankers of sentence-transformers (cross-encoder/ettin-reranker-*-v1) as one model of transformers.

Their modules.json is a stack of Transformer, Pooling, Dense, LayerNorm, Dense: pooling, head and classifier of what is
one ModernBertForSequenceClassification. The bias of the LayerNorm, for which ModernBERT's own norms mostly have no
place, moves into that of the classifier: W (n + b) + c = W n + (W b + c). So scores are the same but for rounding.
A module with anything that is not known here is refused.
"""

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from jobs.converters.plan import need, read_json
from pipeline.errors import UsageError, one_line

STACK = ["Transformer", "Pooling", "Dense", "LayerNorm", "Dense"]
POOLINGS = {"cls": "cls", "cls_token": "cls", "mean": "mean", "mean_tokens": "mean"}
EPSILON = 1e-5  # of torch's LayerNorm, which the module does not change
GELU, IDENTITY = "torch.nn.modules.activation.GELU", "torch.nn.modules.linear.Identity"
COPIED = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "sentence_bert_config.json")


def convert(source: Path, target: Path) -> dict[str, Any]:
    """Converts the reranker in `source` and returns the new config. All is checked before a file is written."""
    from transformers import ModernBertForSequenceClassification  # imported here: it takes seconds

    folder, pooling, dense, norm, last = _read_stack(source)
    config = read_json(folder / "config.json")
    (hidden,), eps = need(folder / "config.json", config, ("hidden_size",)), config.get("norm_eps", EPSILON)
    if eps != EPSILON:
        raise UsageError(f"{folder / 'config.json'}: norm_eps is {eps}; the LayerNorm behind it has {EPSILON}")
    biased = _check_dense(dense, hidden, hidden, GELU)
    shifted = _check_dense(last, hidden, 1, IDENTITY)
    _read_known(norm / "config.json", {"dimension": (hidden,)})
    head, scale = _load(dense, "linear", (hidden, hidden), biased), _load(norm, "norm", (hidden,), True)
    classifier = _load(last, "linear", (1, hidden), shifted)
    shift = classifier["weight"].double() @ scale["bias"].double()
    tensors = {f"head.dense.{name}": tensor for name, tensor in head.items()}
    tensors |= {"head.norm.weight": scale["weight"], "classifier.weight": classifier["weight"]}
    tensors["classifier.bias"] = (classifier.get("bias", torch.zeros(1)).double() + shift).float()
    if config.get("norm_bias"):
        tensors["head.norm.bias"] = torch.zeros(hidden)
    asked: dict[str, Any] = {"num_labels": 1, "classifier_pooling": _read_pooling(pooling), "classifier_bias": biased}
    try:
        loaded: Any = ModernBertForSequenceClassification.from_pretrained(
            folder, dtype="auto", use_safetensors=True, output_loading_info=True, ignore_mismatched_sizes=True, **asked
        )
    except Exception as error:  # transformers raises every kind for a bad folder
        raise UsageError(f"{folder}: cannot be read: {one_line(error)[:200]}") from None
    model, found = loaded
    _check_encoder(folder, found, {*tensors})
    for name, tensor in tensors.items():
        model.get_parameter(name).data = tensor.float()  # vLLM computes heads in float32
    target.mkdir(parents=True, exist_ok=True)
    for name in COPIED:
        if (folder / name).exists():
            shutil.copyfile(folder / name, target / name)
    model.save_pretrained(target)
    return read_json(target / "config.json")


def _read_stack(source: Path) -> list[Path]:
    """The folders of the five modules."""
    path = source / "modules.json"
    try:
        modules = [(module["type"].rpartition(".")[2], module["path"]) for module in json.loads(path.read_text())]
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise UsageError(f"{path}: {error.strerror if isinstance(error, OSError) else one_line(error)}") from None
    names = [name for name, _ in modules]
    if names != STACK:
        raise UsageError(f"{path}: is a stack of {', '.join(names)}; what can be converted is {', '.join(STACK)}")
    folders = [source / place for _, place in modules]
    if read_json(folders[0] / "sentence_bert_config.json", missing={}).get("do_lower_case"):
        raise UsageError(f"{folders[0] / 'sentence_bert_config.json'}: do_lower_case is true, which is not done here")
    about = source / "config_sentence_transformers.json"
    if name := read_json(about, missing={}).get("default_prompt_name"):
        raise UsageError(f"{about}: default_prompt_name is {name!r}; a prompt before the texts cannot be converted")
    return folders


def _read_pooling(folder: Path) -> str:
    path = folder / "config.json"
    declared = read_json(path)
    mode = declared.get("pooling_mode")
    modes = [str(mode)] if mode else []
    modes += [name.removeprefix("pooling_mode_") for name, on in declared.items() if on is True and "_mode_" in name]
    if len(modes) != 1 or modes[0] not in POOLINGS:
        raise UsageError(f"{path}: the pooling is {' and '.join(modes)}; cls or mean can be converted")
    return POOLINGS[modes[0]]


def _check_dense(folder: Path, inputs: Any, outputs: Any, activation: str) -> bool:
    """Whether a dense layer, which must have these sizes and this activation, has a bias."""
    known = {
        "in_features": (inputs,),
        "out_features": (outputs,),
        "activation_function": (activation,),
        "bias": (True, False, None),
        "module_input_name": ("sentence_embedding", None),
        "module_output_name": ("sentence_embedding", "scores", None),
    }
    return _read_known(folder / "config.json", known).get("bias") is not False


def _read_known(path: Path, known: dict[str, tuple[Any, ...]]) -> dict[str, Any]:
    """A module's config. Raises UsageError where it has a key or a value that is not known; None stands for no key."""
    declared = read_json(path)
    for name in {**known, **declared}:
        if (value := declared.get(name)) not in known.get(name, ()):
            raise UsageError(f"{path}: {name} is {value!r}, with which it is no ModernBertForSequenceClassification")
    return declared


def _load(folder: Path, prefix: str, shape: tuple[int, ...], biased: bool) -> dict[str, torch.Tensor]:
    """The tensors of a module: `weight`, of this shape, and perhaps `bias`."""
    path = folder / "model.safetensors"
    try:
        tensors = load_file(path)
    except (OSError, SafetensorError) as error:
        raise UsageError(f"{path}: cannot be read: {one_line(error)[:200]}") from None
    needed = {f"{prefix}.weight": shape} | ({f"{prefix}.bias": shape[:1]} if biased else {})
    found = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    if found != needed:
        raise UsageError(f"{path}: has tensors of the shapes {found}, not {needed}")
    return {name.removeprefix(f"{prefix}."): tensor for name, tensor in tensors.items()}


def _check_encoder(folder: Path, found: dict[str, Any], head: set[str]) -> None:
    """Raises UsageError where the encoder's own tensors are not all there, or are not all."""
    for what, names in (
        ("is missing", set(found["missing_keys"]) - head),
        ("is left over", found["unexpected_keys"]),
        ("has another shape than by config.json", {name for name, *_ in found["mismatched_keys"]}),
    ):
        if names:
            raise UsageError(f"{folder}: {min(names)} {what}")
