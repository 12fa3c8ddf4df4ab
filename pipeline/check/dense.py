"""The Dense layers that sentence-transformers puts behind a pooling: vLLM leaves out what it cannot load, silently."""

from pathlib import Path

from actors.engines.contract import EngineFacts
from actors.rerankers import Settings
from actors.rerankers.files import find_optional_file, read_json
from pipeline.check.checkpoint import Tensor, read_headers
from pipeline.errors import UsageError

WEIGHTS = ("model.safetensors", "pytorch_model.bin")  # the names that the engine looks for, and in them these tensors:
NAMES = ("weight", "linear.weight", "dense.weight")


def check_dense(engine: EngineFacts, settings: Settings, folders: list[str], width: int | None) -> None:
    """Raises UsageError for a layer without its config or weights, whose shape does not follow from what goes in, or
    whose activation the engine does not have.

    folders: those of the layers, in their order. width: how many numbers come out of the pooling, if that is known.
    """
    for folder in folders:
        about = find_optional_file(settings, f"{folder}/config.json")
        if about is None:
            raise UsageError(
                f"reranker.model = {settings.model!r}: has no {folder}/config.json, and modules.json names {folder}; "
                "copy or download it again"
            )
        declared = read_json(about)
        into, out = declared.get("in_features"), declared.get("out_features")
        if type(into) is not int or type(out) is not int:
            raise UsageError(f"{about}: in_features and out_features should be whole numbers, not {into!r} and {out!r}")
        if width not in (None, into):
            raise UsageError(f"{about}: in_features is {into}, and {width} numbers come out of what stands before it")
        _check_activation(engine, about, declared.get("activation_function"))
        bias = {"bias": (out,)} if declared.get("bias", True) else {}
        _check_weights(engine, settings, folder, {"weight": (out, into), **bias})
        width = out


def _check_activation(engine: EngineFacts, about: Path, name: str | None) -> None:
    if name is None:
        raise UsageError(f"{about}: names no activation_function; torch.nn.modules.linear.Identity is none at all")
    if not engine.has_activation(name):
        raise UsageError(f"{about}: activation_function is {name!r}, which {engine.name} does not have")


def _check_weights(engine: EngineFacts, settings: Settings, folder: str, expected: dict[str, tuple[int, ...]]) -> None:
    """expected: the shapes of the layer's tensors."""
    file = next(filter(None, (find_optional_file(settings, f"{folder}/{name}") for name in WEIGHTS)), None)
    if file is None:
        raise UsageError(
            f"reranker.model = {settings.model!r}: {folder} has neither {' nor '.join(WEIGHTS)}, so {engine.name} "
            "would leave the layer out; copy or download it again"
        )
    tensors: dict[str, Tensor] = dict(read_headers(file))
    name = next((name for name in NAMES if name in tensors), None)
    if name is None:
        raise UsageError(f"{file}: has none of the tensors {', '.join(NAMES)}, but {', '.join(tensors) or 'no tensor'}")
    stem = name.removesuffix("weight")
    found = {kind: tensors[stem + kind].shape for kind in ("weight", "bias") if stem + kind in tensors}
    if found != expected:
        raise UsageError(f"{file}: has the tensors {_show(found)}; by the layer's config.json it is {_show(expected)}")


def _show(shapes: dict[str, tuple[int, ...]]) -> str:
    return " and ".join(f"{name} {[*shape]}" for name, shape in shapes.items())
