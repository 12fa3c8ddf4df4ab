"""What can be known to be wrong before Ray or a model starts. Every problem is a UsageError of one line."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

from botocore.exceptions import BotoCoreError
from fsspec.utils import glob_translate

from actors.engine import arguments, installed
from actors.rerankers import RERANKERS
from actors.tokens import Encoder, encoder
from pipeline.carry import carried, check_carried
from pipeline.cluster import check_relative
from pipeline.columns import check_schema, present
from pipeline.config import Config
from pipeline.errors import RunError, UsageError, one_line
from pipeline.fingerprint import WEIGHTS, fingerprint
from pipeline.inputs import InputFile, list_inputs
from pipeline.plan import first_schema
from pipeline.storage import Folder, absolute, is_local


@dataclass(frozen=True)
class Checked:
    """A run whose config, first input file and model have been found good; its paths are absolute."""

    config: Config
    files: list[InputFile]
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
    check_carried(carried(config), files[0].path, schema, files[0].path, schema)
    _check_output(config)
    _check_engine(config)
    tokens = _load_encoder(config)
    try:
        label_ids = tokens.label_ids(RERANKERS[config.reranker.type].request.labels)
        digest = fingerprint(config, columns, tokens)
    except ValueError as error:
        kind, model = config.reranker.type, config.reranker.model
        raise UsageError(f"reranker.type = {kind!r} does not go with reranker.model = {model!r}: {error}") from None
    return Checked(config, files, tokens, label_ids, digest)


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
    if not is_local(output) and any(char in output for char in "*?["):
        raise UsageError(f"output.path = {output!r}: must not have any of * ? [ in it")
    for path in config.input.path:
        if _overlap(absolute(path), output):
            raise UsageError(
                f"output.path = {output!r} lies in input.path = {path!r}, or that in it: "
                "a run would read its own output, or delete its input"
            )
    folder = Folder(output)
    try:
        folder.put(".rayrank", b"")
        folder.delete([".rayrank"])
    except (OSError, ValueError, BotoCoreError) as error:
        raise UsageError(f"output.path = {output!r}: cannot write there: {one_line(error)}") from None


def _overlap(place: str, output: str) -> bool:
    """Whether a file, directory or glob of the input holds a run's output, or lies in what a run writes."""
    written = [f"{output}/{name}" for name in ("ranked", "rejects", "scores")]
    if any(f"{place}/".startswith(f"{folder}/") for folder in written):
        return True
    part = f"{output}/ranked/part-00000.parquet"
    parents = [part[:i] for i, char in enumerate(part) if char == "/"]  # what a glob matches is read with all below it
    return place.rstrip("/") in parents or any(re.match(glob_translate(place), at) for at in [part, *parents, *written])


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
        tokens = encoder(config.reranker, limit)
        if not tokens.tokenizer.get_vocab().keys() - set(tokens.tokenizer.all_special_tokens):
            raise ValueError("it has no vocabulary; are its files missing?")  # transformers makes do with [UNK]
        return tokens
    except Exception as error:  # transformers raises every kind, from OSError to KeyError, for a bad model folder
        if isinstance(error, OSError) and "connect" in str(error):  # the hub may be back later
            raise RunError(f"reranker.model = {model!r}: {one_line(error)[:300]}") from None
        raise UsageError(f"reranker.model = {model!r}: cannot load its tokenizer: {one_line(error)[:300]}") from None
