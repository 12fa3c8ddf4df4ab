"""Whether a model's files go with the reranker that is to run it: architecture, tokenizer, template, labels, end."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from actors.engines import get_engine
from actors.rerankers import RERANKERS, Settings
from actors.rerankers.contract import Pair, Unscored
from actors.rerankers.files import BadFile, read_optional_file
from actors.rerankers.tokenizer import Tokenizer, load_tokenizer
from pipeline.check.adapter import check_adapter, describe_adapter
from pipeline.check.architecture import check_architecture
from pipeline.check.checkpoint import find_weights
from pipeline.check.fingerprint import WEIGHTS
from pipeline.check.hub import is_away, read_model_config
from pipeline.check.matches import check_ids, note_prompt
from pipeline.check.modules import check_modules
from pipeline.check.positions import check_positions
from pipeline.check.prompt import check_frame
from pipeline.config import Config
from pipeline.errors import NotHere, RunError, UsageError, one_line


class Unreachable(RunError):
    """A model whose files are not on this machine, and the hub does not answer."""


def check_model_files(config: Config, weights: bool = True) -> Config:
    """The config with the revisions of the model and its adapter pinned: a branch, or no revision at all, may move, and
    every worker takes the commit that it is now.

    weights: whether a local folder must hold them. Raises UsageError where the model's files are no good, and
    Unreachable where the hub is.
    """
    settings, model = config.reranker, config.reranker.model
    limit = get_engine(config.engine).max_length(config.engine)
    if limit is not None and (type(limit) is not int or limit < 1):
        raise UsageError(f"engine.max_model_len = {limit!r}: should be a whole number of tokens above 0")
    if model.startswith(("/", ".", "~")):
        folder = Path(model)
        if not folder.is_dir():
            raise NotHere(f"reranker.model = {model!r}: no such folder")
        if not (folder / "config.json").is_file():
            find_weights(folder)  # of an adapter alone it says so
            raise UsageError(f"reranker.model = {model!r}: the folder has no config.json")
        dummy = not weights or not get_engine(config.engine).needs_weights(config.engine)
        if not dummy and not any(path.suffix in WEIGHTS for path in folder.iterdir()):
            raise UsageError(f"reranker.model = {model!r}: the folder has no weights (*.safetensors, *.bin)")
    with _explain_errors(model, "read its files"):
        declared, commit = read_model_config(settings)
        read_optional_file(settings, "generation_config.json")  # that an engine passes over where it is broken
        check_positions(config, declared)
        check_modules(config, declared)
        check_architecture(config, declared)
        _check_code(settings, declared)
    with _explain_errors(settings.adapter or "", "read its files", "adapter"):
        adapter_commit = check_adapter(config, declared)
    pinned = {key: value for key, value in (("revision", commit), ("adapter_revision", adapter_commit)) if value}
    return config.model_copy(update={"reranker": settings.model_copy(update=pinned)}) if pinned else config


def check_tokenizer(config: Config) -> Tokenizer:
    """The model's tokenizer, which takes seconds to load.

    Raises UsageError where it cannot be used, or labels, template or end token do not go with the reranker, and
    Unreachable where the hub is.
    """
    settings = config.reranker
    with _explain_errors(settings.model, "load its tokenizer"):
        tokenizer = load_tokenizer(settings, get_engine(config.engine).max_length(config.engine))
        if not tokenizer.pretrained.get_vocab().keys() - set(tokenizer.pretrained.all_special_tokens):
            raise ValueError("it has no vocabulary; are its files missing?")  # transformers makes do with [UNK]
    try:
        request = RERANKERS[settings.type].request(settings)
        tokenizer.label_ids(request.labels)
        if request.max_tokens > 1 and not tokenizer.end_tokens():
            raise ValueError("the model names no end token, so its answers would never end")
        (probe,) = RERANKERS[settings.type].prompt(tokenizer, settings, [Pair("a", "a", "a")])
        if isinstance(probe, Unscored):
            raise ValueError(f"engine.max_model_len = {tokenizer.limit} is too small for any prompt: {probe.reason}")
        _check_passages(tokenizer, settings)
        check_frame(tokenizer, settings, probe)
        check_ids(config, tokenizer)
        note_prompt(tokenizer, settings, probe)
    except ValueError as error:
        raise UsageError(
            f"reranker.type = {settings.type!r} does not go with reranker.model = {settings.model!r}: {error}"
        ) from None
    return tokenizer


def _check_passages(tokenizer: Tokenizer, settings: Settings) -> None:
    """Raises ValueError where a passage of a document would be cut again."""
    if settings.passages is None:
        return
    longest = tokenizer.cut("a " * settings.passages.tokens, settings.passages.tokens)
    (made,) = RERANKERS[settings.type].prompt(tokenizer, settings, [Pair("a", longest, "a")])
    if isinstance(made, Unscored) or made.truncated:
        raise ValueError(
            f"reranker.passages.tokens = {settings.passages.tokens}: a passage of that length would be cut by "
            f"max_doc_tokens, or with the template by the context of {tokenizer.limit} tokens; take fewer"
        )


@contextmanager
def _explain_errors(model: str, doing: str, key: str = "model") -> Iterator[None]:
    """Raises the errors of a model's files as those of the user, or of a hub that is away. key: what it is in the
    reranker section."""
    try:
        yield
    except UsageError:
        raise
    except BadFile as error:
        raise UsageError(str(error)) from None
    except Exception as error:  # transformers raises every kind, from OSError to KeyError, for a bad model folder
        if is_away(error):
            said = one_line(error).split(". ")[0].removesuffix(".")  # the rest is general advice
            raise Unreachable(f"reranker.{key} = {model!r}: {said}") from None
        raise UsageError(f"reranker.{key} = {model!r}: cannot {doing}: {one_line(error)[:300]}") from None


def describe_checked(config: Config, tokenizer: Tokenizer) -> list[str]:
    """The checked parts, in words."""
    request = RERANKERS[config.reranker.type].request(config.reranker)
    words = ["architecture", "tokenizer", "template"]
    if config.reranker.adapter:
        words.append(describe_adapter(config.reranker))
    if request.labels:
        ids = tokenizer.label_ids(request.labels)
        texts = [
            label if isinstance(label, str) else tokenizer.decode([i])
            for label, i in zip(request.labels, ids, strict=True)
        ]
        words.append("labels " + " ".join(f"{text!r}={i}" for text, i in zip(texts, ids, strict=True)))
    if request.max_tokens > 1:
        words.append("end token " + " ".join(map(repr, tokenizer.end_tokens())))
    return words


def _check_code(settings: Settings, declared: dict[str, Any]) -> None:
    """Raises UsageError for a model that runs with Python code of its own alone, unless the config allows that."""
    if not declared.get("auto_map") or settings.trust_remote_code:
        return
    from transformers.models.auto.auto_mappings import CONFIG_MAPPING_NAMES  # imported here: it takes a second

    if declared.get("model_type") not in CONFIG_MAPPING_NAMES:
        raise UsageError(
            f"reranker.model = {settings.model!r}: comes with Python code of its own, which runs only where you say "
            "reranker.trust_remote_code=true; read it first, and pin it with reranker.revision"
        )
