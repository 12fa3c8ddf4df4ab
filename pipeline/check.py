"""What can be known to be wrong before Ray or a model starts. Every problem is a UsageError of one line."""

import os
from dataclasses import dataclass
from pathlib import Path

from actors.engine import arguments, installed
from actors.rerankers import RERANKERS
from actors.tokens import Encoder, encoder
from pipeline.carry import carried, check_carried
from pipeline.cluster import check_relative
from pipeline.columns import check_schema, present
from pipeline.config import Config
from pipeline.errors import UsageError
from pipeline.fingerprint import WEIGHTS, fingerprint
from pipeline.inputs import InputFile, list_inputs
from pipeline.plan import first_schema
from pipeline.storage import Folder, absolute


@dataclass(frozen=True)
class Checked:
    """A run whose config, first input file and model have been found good; its paths are absolute."""

    config: Config
    files: list[InputFile]
    columns: dict[str, str]
    encoder: Encoder
    label_ids: list[int]
    fingerprint: str

    @property
    def output(self) -> Folder:
        return Folder(self.config.output.path)

    @property
    def scores(self) -> Folder:
        return self.output.below(f"scores/{self.fingerprint}")


def check(config: Config) -> Checked:
    """Checks a run against its input, its model's files, its output and the installed vLLM."""
    check_relative(config)
    config = _absolute(config)
    files = list_inputs(config.input.path)
    schema = first_schema(files[0])
    columns = present(config, schema)
    check_schema(files[0].path, schema, columns)
    check_carried(carried(config), schema, files[0].path)
    _check_output(config)
    _check_engine(config)
    tokens = _load_encoder(config)
    try:
        label_ids = tokens.label_ids(RERANKERS[config.reranker.type].request.labels)
        digest = fingerprint(config, columns, tokens)
    except ValueError as error:
        raise UsageError(
            f"reranker.type = {config.reranker.type!r} does not go with reranker.model = {config.reranker.model!r}: {error}"
        ) from None
    return Checked(config, files, columns, tokens, label_ids, digest)


def _absolute(config: Config) -> Config:
    """Ray's workers have a working folder of their own, so local paths are made absolute here."""
    try:
        output = config.output.model_copy(update={"path": absolute(config.output.path)})
    except (ValueError, ImportError) as error:
        raise UsageError(f"output.path = {config.output.path!r}: {error}") from None
    reranker = config.reranker
    if os.path.isdir(os.path.expanduser(reranker.model)):
        reranker = reranker.model_copy(update={"model": os.path.abspath(os.path.expanduser(reranker.model))})
    return config.model_copy(update={"output": output, "reranker": reranker})


def _check_output(config: Config) -> None:
    output = config.output.path
    for path in config.input.path:
        place = absolute(path)
        if place in (output, f"{output}/scores", f"{output}/rejects") or output.startswith(place.rstrip("/") + "/"):
            raise UsageError(
                f"output.path = {output!r} lies in input.path = {path!r}: the next run would read its own output"
            )
    if output.rstrip("/").endswith("/ranked"):
        return
    folder = Folder(output)
    try:
        folder.put(".rayrank", b"")
        folder.delete([".rayrank"])
    except (OSError, ValueError) as error:
        raise UsageError(f"output.path = {output!r}: cannot write there: {error}") from None


def _check_engine(config: Config) -> None:
    try:
        installed()
    except LookupError as error:
        raise UsageError(str(error)) from None
    known = arguments()
    for name in config.engine:
        if name not in known:
            raise UsageError(
                f"engine.{name} = {config.engine[name]!r}: vLLM {installed()[0]} has no such engine argument"
            )


def _load_encoder(config: Config) -> Encoder:
    model, limit = config.reranker.model, config.engine.get("max_model_len")
    if model.startswith(("/", ".", "~")):
        folder = Path(model)
        if not folder.is_dir():
            raise UsageError(f"reranker.model = {model!r}: no such folder")
        if not (folder / "config.json").is_file():
            raise UsageError(f"reranker.model = {model!r}: the folder has no config.json")
        dummy = config.engine.get("load_format") == "dummy"
        if not dummy and not any(path.suffix in WEIGHTS for path in folder.iterdir()):
            raise UsageError(f"reranker.model = {model!r}: the folder has no weights (*.safetensors, *.bin)")
    if limit is not None and (type(limit) is not int or limit < 1):
        raise UsageError(f"engine.max_model_len = {limit!r}: should be a whole number of tokens above 0")
    try:
        return encoder(config.reranker, limit)
    except Exception as error:  # transformers raises every kind, from OSError to KeyError, for a bad model folder
        raise UsageError(
            f"reranker.model = {model!r}: cannot load its tokenizer: {' '.join(str(error).split())[:300]}"
        ) from None
