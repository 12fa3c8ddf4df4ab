"""Whether a model's files go with the reranker that is to run it: architecture, tokenizer, template, labels, end."""

from pathlib import Path
from typing import Any

from actors.engines import ENGINE
from actors.rerankers import RERANKERS
from actors.rerankers.contract import Pair, Unscored
from actors.rerankers.tokenizer import Tokenizer, load_tokenizer
from pipeline.check.fingerprint import WEIGHTS, compute_fingerprint
from pipeline.check.hub import is_away
from pipeline.config import Config
from pipeline.errors import NotHere, RunError, UsageError, one_line

CONVERTED = ("QWenLMHeadModel", "BaichuanForCausalLM", "BaiChuanForCausalLM")  # by jobs/convert.py


class Unreachable(RunError):
    """A model whose files are not on this machine, and the hub does not answer."""


def load_checked_tokenizer(config: Config, weights: bool = True) -> Tokenizer:
    """The model's tokenizer. Raises UsageError where its files are no good, and Unreachable where the hub is.

    weights: whether a local folder must hold them.
    """
    model, limit = config.reranker.model, ENGINE.max_length(config.engine)
    if limit is not None and (type(limit) is not int or limit < 1):
        raise UsageError(f"engine.max_model_len = {limit!r}: should be a whole number of tokens above 0")
    if model.startswith(("/", ".", "~")):
        folder = Path(model)
        if not folder.is_dir():
            raise NotHere(f"reranker.model = {model!r}: no such folder")
        if not (folder / "config.json").is_file():
            raise UsageError(f"reranker.model = {model!r}: the folder has no config.json")
        dummy = not weights or not ENGINE.needs_weights(config.engine)
        if not dummy and not any(path.suffix in WEIGHTS for path in folder.iterdir()):
            raise UsageError(f"reranker.model = {model!r}: the folder has no weights (*.safetensors, *.bin)")
    try:
        _check_architecture(config)
        tokenizer = load_tokenizer(config.reranker, limit)
        if not tokenizer.pretrained.get_vocab().keys() - set(tokenizer.pretrained.all_special_tokens):
            raise ValueError("it has no vocabulary; are its files missing?")  # transformers makes do with [UNK]
        return tokenizer
    except UsageError:
        raise
    except Exception as error:  # transformers raises every kind, from OSError to KeyError, for a bad model folder
        if is_away(error):
            said = one_line(error).split(". ")[0].removesuffix(".")  # the rest is general advice
            raise Unreachable(f"reranker.model = {model!r}: {said}") from None
        if "trust_remote_code" in str(error):
            raise UsageError(
                f"reranker.model = {model!r}: comes with Python code of its own, which runs only where you say "
                "reranker.trust_remote_code=true; read it first, and pin it with reranker.revision"
            ) from None
        raise UsageError(f"reranker.model = {model!r}: cannot load its tokenizer: {one_line(error)[:300]}") from None


def check_model(config: Config, columns: dict[str, str], tokenizer: Tokenizer) -> str:
    """The fingerprint. Raises UsageError where labels, template or end token do not go with the reranker."""
    try:
        request = RERANKERS[config.reranker.type].request(config.reranker)
        tokenizer.label_ids(request.labels)
        if request.max_tokens > 1 and not tokenizer.end_tokens():
            raise ValueError("the model names no end token, so its answers would never end")
        (probe,) = RERANKERS[config.reranker.type].prompt(tokenizer, config.reranker, [Pair("a", "a", "a")])
        if isinstance(probe, Unscored):
            raise ValueError(f"engine.max_model_len = {tokenizer.limit} is too small for any prompt: {probe.reason}")
        return compute_fingerprint(config, columns, tokenizer)
    except ValueError as error:
        kind, model = config.reranker.type, config.reranker.model
        raise UsageError(f"reranker.type = {kind!r} does not go with reranker.model = {model!r}: {error}") from None


def describe_checked(config: Config, tokenizer: Tokenizer) -> list[str]:
    """What `check_model` looked at, in words."""
    request = RERANKERS[config.reranker.type].request(config.reranker)
    words = ["architecture", "tokenizer", "template"]
    if request.labels:
        ids = tokenizer.label_ids(request.labels)
        words.append("labels " + " ".join(f"{label!r}={i}" for label, i in zip(request.labels, ids, strict=True)))
    if request.max_tokens > 1:
        words.append("end token " + " ".join(map(repr, tokenizer.end_tokens())))
    return words


def _check_architecture(config: Config) -> None:
    """Raises UsageError for one that the installed engine ran once and runs no more."""
    from transformers import PretrainedConfig

    settings = config.reranker
    declared: dict[str, Any]
    declared, _ = PretrainedConfig.get_config_dict(settings.model, revision=settings.revision)
    try:
        version, gone = ENGINE.installed().version, ENGINE.retired_architectures()
    except LookupError:
        return
    for name in declared.get("architectures") or []:
        if name in gone:
            mend = f"take another model, or that {ENGINE.name}"
            if name in CONVERTED:
                mend = "python jobs/convert.py FOLDER NEW_FOLDER makes a model of it that runs"
            raise UsageError(
                f"reranker.model = {settings.model!r}: {ENGINE.name} {version} does not run {name} (the last that did "
                f"was {gone[name]}); {mend}"
            )
