"""LoRA adapters: what they change in the weights of their base model, into which an engine merges them as it loads.

A weight W becomes W + s * B A, computed in float32, with s = alpha / r, or alpha / sqrt(r) of a rank-stabilised
adapter; a whole tensor, such as a classifier's head, takes the place of the base's. The forms are peft's.
"""

import math
import re
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from actors.rerankers.files import find_model_file, find_optional_file, read_json
from actors.rerankers.settings import Settings

CONFIG, WEIGHTS = "adapter_config.json", ("adapter_model.safetensors", "adapter_model.bin")
PREFIX = "base_model.model."  # of peft's names
READ = {"r", "lora_alpha", "use_rslora", "alpha_pattern", "modules_to_save"}
# Keys that say how it was trained, or which tensors it has, as its file of weights shows.
OF_TRAINING = {
    "peft_type", "task_type", "base_model_name_or_path", "revision", "peft_version", "auto_mapping", "inference_mode",
    "target_modules", "exclude_modules", "layers_to_transform", "layers_pattern", "rank_pattern", "lora_dropout",
    "init_lora_weights", "bias", "loftq_config", "eva_config", "corda_config", "lora_ga_config", "megatron_core",
    "qalora_group_size", "ensure_weight_tying",
}  # fmt: skip
# Parts that share one tensor in many models, of which a merge would change one or both.
TIED = {"lm_head", "embed_out", "embed_tokens", "embed_in", "wte", "word_embeddings", "shared"}
SAME_BASE = ("gaussian", "eva", "orthogonal", "mica", "lora_ga")  # beginnings that leave the base model as it was


class LowRank(NamedTuple):
    """An addend to a weight: scale * b @ a. Shapes: a (rank, in), b (out, rank)."""

    a: Any
    b: Any
    scale: float


class Adapter(NamedTuple):
    """An adapter in memory, by the names of the base model's tensors.

    low_rank: what is added to them. whole: what takes their place.
    """

    low_rank: dict[str, LowRank]
    whole: dict[str, Any]

    def merge(self, weights: Iterable[tuple[str, Any]]) -> Iterator[tuple[str, Any]]:
        """The base model's tensors with the adapter in them, by their names, and whole ones that the base lacks. Raises
        ValueError where it has no weight for what is added, or one of another shape."""
        left = self.low_rank.keys() | self.whole.keys()
        for name, tensor in weights:
            if part := self.low_rank.get(name):
                self.check_shape(name, tensor.shape)
                tensor = tensor.float() + part.scale * (part.b.float() @ part.a.float()).to(tensor.device)
            yield name, self.whole.get(name, tensor)
            left.discard(name)
        if gone := sorted(left & self.low_rank.keys()):
            raise ValueError(f"the adapter changes {gone[0]} (of {len(gone)}), which the base model does not have")
        yield from ((name, self.whole[name]) for name in sorted(left))

    def check_shape(self, name: str, shape: Iterable[int]) -> None:
        """Raises ValueError where a weight of the base model is not of the shape of what is added to it."""
        part = self.low_rank[name]
        if tuple(shape) != (expected := (part.b.shape[0], part.a.shape[1])):
            raise ValueError(f"{name} has the shape {tuple(shape)} in the base model, and {expected} in the adapter")


def get_adapter(settings: Settings) -> Settings | None:
    """The adapter's own place, as a model's; None where the model has no adapter."""
    if settings.adapter is None:
        return None
    return Settings(type=settings.type, model=settings.adapter, revision=settings.adapter_revision)


def read_adapter_config(place: Settings) -> dict[str, Any]:
    """The adapter_config.json. Raises ValueError for what a merge would leave out: other kinds than LoRA, and forms of
    LoRA that do more than add B A."""
    path = find_model_file(place, CONFIG)
    if not path.is_file():
        raise ValueError(f"it has no {CONFIG}")
    config: dict[str, Any] = read_json(path)
    if config.get("peft_type") != "LORA":
        raise ValueError(f"peft_type = {config.get('peft_type')!r} in its {CONFIG}: only LORA is merged here")
    begun = config.get("init_lora_weights", True)
    wrong = [key for key in sorted(config.keys() - READ - OF_TRAINING) if config[key]]
    wrong += ["bias"] * (config.get("bias", "none") != "none")
    wrong += ["init_lora_weights"] * (isinstance(begun, str) and begun.lower() not in SAME_BASE)
    if wrong:
        raise ValueError(
            f"{wrong[0]} = {config[wrong[0]]!r} in its {CONFIG}: such an adapter is not merged here; merge it with "
            "peft (merge_and_unload, save_pretrained), and give the new folder as reranker.model"
        )
    return config


def read_adapter(place: Settings) -> Adapter:
    """The adapter's tensors. Raises ValueError for one that is not of a known form, is not finite, or lacks its other
    half, and for an adapter that changes nothing."""
    config, tensors = read_adapter_config(place), _read_tensors(place)
    halves: dict[str, dict[str, Any]] = {}
    whole: dict[str, Any] = {}
    for key, tensor in tensors.items():
        name = key.removeprefix(PREFIX)
        module, _, kind = name.removesuffix(".weight").rpartition(".lora_")
        if not tensor.isfinite().all():
            raise ValueError(f"its tensor {key} has numbers that are NaN or infinite")
        if tied := TIED & {*name.split(".")}:
            raise ValueError(
                f"it changes {tied.pop()} ({key}), which may be tied in the base model; merge it with peft"
            )
        if kind in ("A", "B") and name.endswith(".weight"):
            halves.setdefault(module, {})[kind] = tensor
        elif "lora_" not in name and set(name.split(".")) & {*(config.get("modules_to_save") or ())}:
            whole[name] = tensor
        else:
            raise ValueError(f"its tensor {key} is not of a form that is merged here")
    if odd := next((module for module, found in halves.items() if len(found) == 1), None):
        raise ValueError(f"its tensors have one half of {odd} alone, of lora_A and lora_B")
    low_rank = {
        f"{module}.weight": LowRank(found["A"], found["B"], _compute_scale(config, module, len(found["A"])))
        for module, found in halves.items()
    }
    if not any(part.b.any() for part in low_rank.values()) and not whole:
        raise ValueError("all of its lora_B are zeros, so it changes nothing; was it trained, and saved?")
    return Adapter(low_rank, whole)


def _compute_scale(config: dict[str, Any], module: str, rank: int) -> float:
    """The scale of a module: of alpha_pattern the first key that the end of its name matches, else lora_alpha."""
    patterns = (config.get("alpha_pattern") or {}).items()
    alpha = next((value for key, value in patterns if re.match(rf"(.*\.)?({key})$", module)), config["lora_alpha"])
    return float(alpha) / (math.sqrt(rank) if config.get("use_rslora") else rank)


def _read_tensors(place: Settings) -> dict[str, Any]:
    import torch  # imported here: it takes seconds
    from safetensors.torch import load_file

    path = next(filter(None, (find_optional_file(place, name) for name in WEIGHTS)), None)
    if path is None:
        raise ValueError(f"it has no {' or '.join(WEIGHTS)}")
    if path.suffix == ".safetensors":
        return load_file(path)
    loaded: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    return loaded
