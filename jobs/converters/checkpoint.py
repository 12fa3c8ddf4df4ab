"""Checkpoints as files: read shard by shard, without running what is pickled in them, and written as safetensors."""

import json
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from jobs.converters.plan import Plan, read_json
from pipeline.errors import UsageError, one_line

KINDS = ("model*.safetensors", "pytorch_model*.bin")
INDEXES = ("model.safetensors.index.json", "pytorch_model.bin.index.json")
DTYPES = (torch.float32, torch.float16, torch.bfloat16)


def find_shards(folder: Path) -> list[Path]:
    """The files with a checkpoint's weights: those its index names, else those of the first kind there is."""
    for index, kind in zip(INDEXES, KINDS, strict=True):
        if (folder / index).exists():
            named = read_json(folder / index).get("weight_map")
            if not isinstance(named, dict) or not named:
                raise UsageError(f"{folder / index}: has no weight_map")
            return [folder / Path(name).name for name in sorted(set(map(str, named.values())))]
        if found := sorted(folder.glob(kind)):
            return found
    raise UsageError(f"{folder}: has no weights ({' or '.join(KINDS)})")


def read_tensors(shard: Path) -> Iterator[tuple[str, torch.Tensor]]:
    """The tensors of one file by name. They are mapped from the file, so that what is not used takes no memory."""
    try:
        if shard.suffix == ".safetensors":
            with safe_open(shard, framework="pt") as opened:
                for name in opened.keys():  # noqa: SIM118, it is no dict
                    yield name, opened.get_tensor(name)
        else:
            yield from torch.load(shard, map_location="cpu", weights_only=True, mmap=True).items()
    except OSError as error:
        raise UsageError(f"{shard}: {error.strerror or one_line(error)}") from None
    except (SafetensorError, RuntimeError, AttributeError, EOFError, pickle.UnpicklingError) as error:
        raise UsageError(f"{shard}: cannot be read: {one_line(error)[:200]}") from None


def check_tensors(files: list[Path], plan: Plan) -> torch.dtype:
    """Refuses weights that are not exactly those of the plan; gives the type that most of them have."""
    places: dict[str, Path] = {}
    counts = dict.fromkeys(DTYPES, 0)
    for file in files:
        for name, tensor in read_tensors(file):
            if plan.ignored.fullmatch(name):
                continue
            where = f"{file}: {name}"
            if not isinstance(tensor, torch.Tensor) or tensor.dtype not in counts:
                kind = getattr(tensor, "dtype", type(tensor).__name__)
                raise UsageError(f"{where} is {kind}; weights in float32, float16 and bfloat16 can be converted")
            if name in places:
                raise UsageError(f"{where} is also in {places[name]}")
            if name not in plan.weights:
                raise UsageError(f"{where} is left over: the architecture has no such weight")
            if tuple(tensor.shape) != plan.weights[name].shape:
                expected = list(plan.weights[name].shape)
                raise UsageError(f"{where} has shape {list(tensor.shape)}; by config.json it is {expected}")
            places[name] = file
            counts[tensor.dtype] += tensor.numel()
    if missing := [name for name in plan.weights if name not in places]:
        raise UsageError(f"{files[0].parent}: {missing[0]} is missing, and {len(missing) - 1} other weights")
    return max(counts, key=lambda dtype: counts[dtype])


def write_checkpoint(files: list[Path], plan: Plan, dtype: torch.dtype, target: Path) -> None:
    """Writes the converted checkpoint, one shard for each of the old. config.json comes last: with it, it is whole."""
    target.mkdir(parents=True, exist_ok=True)
    weight_map: dict[str, str] = {}
    size = 0
    for number, file in enumerate(files, 1):
        name = f"model-{number:05}-of-{len(files):05}.safetensors"
        converted: dict[str, torch.Tensor] = {}
        for old, tensor in read_tensors(file):
            if old in plan.weights:
                converted |= plan.weights[old].convert(tensor)
        save_file(converted, target / name, metadata={"format": "pt"})
        weight_map |= dict.fromkeys(converted, name)
        size += sum(tensor.nbytes for tensor in converted.values())
    _write_json(target / "model.safetensors.index.json", {"metadata": {"total_size": size}, "weight_map": weight_map})
    plan.tokenizer.save(str(target / "tokenizer.json"))
    _write_json(target / "tokenizer_config.json", plan.tokenizer_config)
    ids = {key: value for key, value in plan.config.items() if key.endswith("_token_id") and value is not None}
    _write_json(target / "generation_config.json", ids)
    _write_json(target / "config.json", plan.config | {"dtype": str(dtype).removeprefix("torch.")})


def _write_json(path: Path, value: dict[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n")
