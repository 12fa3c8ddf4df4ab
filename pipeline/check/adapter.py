"""Whether an adapter goes with its base model and the engine (actors/rerankers/adapter.py has what is merged)."""

from pathlib import Path
from typing import Any

from actors.engines import get_engine
from actors.rerankers import Settings
from actors.rerankers.adapter import CONFIG, Adapter, get_adapter, read_adapter, read_adapter_config
from actors.rerankers.files import find_model_file, find_optional_file
from pipeline.check.checkpoint import Tensor
from pipeline.check.hub import find_commit
from pipeline.config import Config
from pipeline.errors import NotHere, UsageError, say


def check_adapter(config: Config, declared: dict[str, Any]) -> str | None:
    """The commit of the hub's files of the adapter; None for a local folder, and without an adapter. declared: the
    model's config.json.

    Raises UsageError for an adapter that is not merged here, or into such a model, or by such an engine. Says where it
    names another base model.
    """
    settings, place = config.reranker, get_adapter(config.reranker)
    if place is None:
        return None
    given = f"reranker.adapter = {settings.adapter!r}"
    if place.model.startswith(("/", ".", "~")) and not Path(place.model).is_dir():
        raise NotHere(f"{given}: no such folder")
    if obstacle := get_engine(config.engine).find_merge_obstacle(config.engine):
        raise UsageError(f"{given}: it is merged as the model loads, which does not go with {obstacle}")
    if method := (declared.get("quantization_config") or {}).get("quant_method"):
        raise UsageError(f"{given}: the weights of reranker.model are quantised ({method}), so nothing can be added")
    try:
        about = read_adapter_config(place)
    except ValueError as error:
        raise UsageError(f"{given}: {error}") from None
    base = str(about.get("base_model_name_or_path") or "")
    if base and Path(base).name.lower() != Path(settings.model).name.lower():
        say(f"{given}: it was trained on {base}, and reranker.model is {settings.model!r}; is that the same model?")
    return None if Path(place.model).is_dir() else find_commit(find_model_file(place, CONFIG))


def add_adapter(settings: Settings, tensors: dict[str, Tensor] | None) -> dict[str, Tensor] | None:
    """The tensors of a checkpoint, and those that the adapter puts in their place; None where the first are not known.

    Raises UsageError for an adapter that cannot be merged, or changes a tensor that the checkpoint lacks or has in
    another shape. Says where the adapter has another tokenizer.
    """
    place, adapter = _read(settings)
    own, base = (find_optional_file(each, "tokenizer.json") for each in (place, settings))
    if own and base and own.read_bytes() != base.read_bytes():
        say(f"reranker.adapter = {place.model!r}: its tokenizer.json is not reranker.model's, by which rayrank goes")
    if tensors is None:
        return None
    try:
        for name in adapter.low_rank:
            if name not in tensors:
                raise ValueError(f"it changes the tensor {name}, which the files of {settings.model} do not have")
            adapter.check_shape(name, tensors[name].shape)
    except ValueError as error:
        raise UsageError(f"reranker.adapter = {place.model!r}: {error}") from None
    whole = {
        name: Tensor(tuple(tensor.shape), str(tensor.dtype), place.model) for name, tensor in adapter.whole.items()
    }
    return tensors | whole


def describe_adapter(settings: Settings) -> str:
    """The adapter's changes, in words."""
    _, adapter = _read(settings)
    ranks = sorted({len(part.a) for part in adapter.low_rank.values()})
    words = [f"rank {' and '.join(map(str, ranks))} on {len(adapter.low_rank)} tensors"] if ranks else []
    words += [f"{name} replaced" for name in sorted(adapter.whole)]
    return f"adapter ({', '.join(words)})"


def _read(settings: Settings) -> tuple[Settings, Adapter]:
    place = get_adapter(settings)
    assert place
    try:
        return place, read_adapter(place)
    except ValueError as error:
        raise UsageError(f"reranker.adapter = {place.model!r}: {error}") from None
