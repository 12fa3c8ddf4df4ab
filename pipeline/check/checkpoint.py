"""The tensors of a model's checkpoint: names, types and shapes, from the headers of its files. No weights are read."""

import pickle
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from actors.rerankers import Settings
from actors.rerankers.files import BadFile, find_model_file, read_json
from pipeline.check.hub import is_away
from pipeline.errors import UsageError, one_line

INDEX = "model.safetensors.index.json"
NO_WEIGHTS = ("training_args.bin", "optimizer.bin", "optimizer.pt", "scheduler.pt", "scaler.pt", "rng_state.pth")
AGAIN = "copy or download it again"


class Tensor(NamedTuple):
    """A tensor of a checkpoint. dtype: as its file spells it. file: where it is, for messages."""

    shape: tuple[int, ...]
    dtype: str
    file: str


def read_tensors(settings: Settings) -> dict[str, Tensor] | None:
    """The tensors of the files that an engine would load, by name; None where they cannot be looked at from here.

    Raises UsageError for a file that is missing, cut short or no checkpoint, and for an adapter.
    """
    folder = find_model_file(settings, "config.json").parent
    if any(folder.glob("consolidated*.safetensors")):  # Mistral's own format, which vLLM prefers
        return None
    if not (files := find_weights(folder)):
        return None if Path(settings.model).is_dir() else _ask_hub(settings)
    tensors: dict[str, Tensor] = {}
    for file in files:
        for name, tensor in read_headers(file):
            if name in tensors:
                raise UsageError(
                    f"{file}: has the tensor {name}, as {Path(tensors[name].file).name} has beside it, and no index "
                    "says which of them counts; take one set of weights away"
                )
            tensors[name] = tensor
    return tensors


def find_weights(folder: Path) -> list[Path]:
    """The files of weights in a model's folder, chosen as vLLM and transformers choose: safetensors before pickles,
    and those that an index names. Raises UsageError where one of those is missing, and for an adapter's."""
    found = _find_kind(folder)
    if adapters := [file for file in found if file.name.startswith("adapter_model")]:
        raise UsageError(
            f"{adapters[0]}: is an adapter's, not a model's; give its folder as reranker.adapter, and its base model "
            "as reranker.model"
        )
    return found


def _find_kind(folder: Path) -> list[Path]:
    for suffix, index in ((".safetensors", INDEX), (".bin", "pytorch_model.bin.index.json"), (".pt", "")):
        named = _read_index(folder / index) if index else []
        if missing := [file for file in named if not file.is_file()]:
            raise UsageError(
                f"{missing[0]}: no such file, and {index} names it ({len(missing)} of {len(named)} are gone); {AGAIN}"
            )
        if found := named or sorted(file for file in folder.glob(f"*{suffix}") if file.name not in NO_WEIGHTS):
            return found
    return []


def _read_index(path: Path) -> list[Path]:
    """The files that an index names; none where there is no index."""
    if not path.is_file():
        return []
    try:
        places = read_json(path).get("weight_map")
    except BadFile as error:
        raise UsageError(str(error)) from None
    if not isinstance(places, dict) or not places:
        raise UsageError(f"{path}: has no weight_map")
    return [path.parent / name for name in sorted(set(map(str, places.values())))]


def read_headers(file: Path) -> Iterator[tuple[str, Tensor]]:
    """The tensors of a file of weights, by name. Raises UsageError where it cannot be read."""
    import torch  # imported here: it takes seconds
    from safetensors import SafetensorError, safe_open

    try:
        if file.suffix == ".safetensors":
            with safe_open(file, framework="pt") as opened:
                for name in opened.keys():  # noqa: SIM118, it is no dict
                    about = opened.get_slice(name)
                    yield name, Tensor(tuple(about.get_shape()), about.get_dtype(), str(file))
        else:
            loaded: Any = torch.load(file, map_location="meta", weights_only=True)
            for name, tensor in loaded.items():
                if isinstance(tensor, torch.Tensor):
                    yield name, Tensor(tuple(tensor.shape), str(tensor.dtype), str(file))
    except (SafetensorError, RuntimeError, AttributeError, EOFError, OSError, pickle.UnpicklingError) as error:
        said = _say_what_it_is(file) or f"cannot be read ({one_line(error)[:200]})"
        raise UsageError(f"{file}: {said}; {AGAIN}") from None


def _say_what_it_is(file: Path) -> str | None:
    """A name for the content that stands in place of weights, where it is plain."""
    with suppress(OSError), file.open("rb") as opened:
        start = opened.read(200).lstrip().lower()
        if start.startswith(b"version https://git-lfs"):
            return "is a pointer of Git LFS, not the weights (git lfs pull fetches them)"
        if start.startswith((b"<!doctype", b"<html", b"<?xml")):
            return "is a web page, not weights"
    return None


def _ask_hub(settings: Settings) -> dict[str, Tensor] | None:
    """The headers of files that are on the hub alone: a request or two for each."""
    from huggingface_hub import get_safetensors_metadata
    from huggingface_hub.errors import NotASafetensorsRepoError

    try:
        found = get_safetensors_metadata(settings.model, revision=settings.revision)
    except NotASafetensorsRepoError:
        return None
    except Exception as error:  # of the hub's client
        if not is_away(error):
            raise
        return None
    return {
        name: Tensor(tuple(tensor.shape), str(tensor.dtype), f"{settings.model}: {file}")
        for file, about in found.files_metadata.items()
        for name, tensor in about.tensors.items()
    }
