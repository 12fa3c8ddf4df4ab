"""A model's architecture and labels, by its config.json, against the reranker that is to run it."""

import re
from typing import Any

from actors.engines import ENGINES, get_engine
from actors.engines.contract import EngineFacts
from actors.rerankers import RERANKERS, Settings
from actors.rerankers.contract import Request
from pipeline.config import Config
from pipeline.errors import UsageError

CONVERTED = ("QWenLMHeadModel", "BaichuanForCausalLM", "BaiChuanForCausalLM")  # by jobs/convert.py
KINDS = {
    "classify": ("a classifier", "cross_encoder"),
    "embed": ("a model without a head", "bi_encoder"),
    "generate": ("a language model", "label, or its own family"),
}
NEGATIVE = re.compile(
    r"\b(no|not|non|neg|negative|false|bad|different|contradiction)\b|\b(ir|non|un)(relevan|related|match|duplicate)"
)

DENYING = ("un", "in", "ir", "non", "non-", "dis", "mis")
POSITIVE = re.compile(r"relevant|true|yes|pos|positive|1|label 1|entailment|match|similar|correct|supports|supported")


def check_architecture(config: Config, declared: dict[str, Any]) -> None:
    """Raises UsageError where the installed engine does not run the model, or the model does another thing than the
    reranker asks for, or has labels that the reranker would read wrongly. declared: the model's config.json."""
    engine = get_engine(config.engine)
    declared = declared | engine.config_overrides(config.engine)
    names, model = declared.get("architectures") or [], config.reranker.model
    if not names:
        raise UsageError(
            f"reranker.model = {model!r}: its config.json names no architectures, so {engine.name} cannot load it; put "
            "in what its authors have"
        )
    method = (declared.get("quantization_config") or {}).get("quant_method")
    try:
        _check_engine_runs(engine, model, names, bool(declared.get("auto_map")))
        if method and not engine.has_quantization(str(method)):
            raise UsageError(
                f"reranker.model = {model!r}: {engine.name} {engine.installed().version} has no quantisation by the "
                f"quant_method {method!r} of its config.json; take another model"
            )
    except LookupError:  # no engine is installed
        return
    request = RERANKERS[config.reranker.type].request(config.reranker)
    if not engine.converts(config.engine):
        _check_task(engine, config.reranker, names[0], request)
    if request.task == "classify" and not request.labels:
        _check_labels(model, declared)
        _check_made_head(model, engine.config_overrides(config.engine))


def _check_engine_runs(engine: EngineFacts, model: str, names: list[str], has_code: bool) -> None:
    """Raises UsageError for architectures that the engine runs no more, or never did. has_code: the model brings code
    of its own, which may run."""
    version, gone = engine.installed().version, engine.retired_architectures()
    for name in names:
        if name in gone:
            mend = f"take another model, or that {engine.name}"
            if name in CONVERTED:
                mend = "python jobs/convert.py FOLDER NEW_FOLDER makes a model of it that runs"
            raise UsageError(
                f"reranker.model = {model!r}: {engine.name} {version} does not run {name} (the last that did "
                f"was {gone[name]}); {mend}"
            )
    if not has_code and not any(map(engine.runs_architecture, names)):
        raise UsageError(
            f"reranker.model = {model!r}: {engine.name} {version} has no model for its architecture {names[0]}; "
            f"{_find_other_engine(engine, names)}"
        )


def _find_other_engine(engine: EngineFacts, names: list[str]) -> str:
    """The advice where `engine` does not run an architecture."""
    for kind, other in ENGINES.items():
        if other is not engine and any(map(other.runs_architecture, names)):
            return f"engine.type: {kind} has one"
    return "take another model"


def _check_task(engine: EngineFacts, settings: Settings, name: str, request: Request) -> None:
    """Raises UsageError for a classifier where a language model is needed, and the like."""
    does = engine.read_task(name)
    needed = "generate" if request.labels or request.task == "likelihood" else request.task
    if does in (None, needed) or (needed == "embed" and does == "generate"):
        return
    what, fitting = KINDS[str(does)]
    raise UsageError(
        f"reranker.type = {settings.type!r} does not go with reranker.model = {settings.model!r}: its architecture "
        f"{name} is {what}, and {KINDS[needed][0]} is needed; reranker.type that fits it: {fitting}"
    )


def _check_made_head(model: str, overrides: dict[str, Any]) -> None:
    """Raises UsageError for a classifier made of a language model's words, of which the last denies relevance."""
    words = overrides.get("classifier_from_token")
    if isinstance(words, list) and len(words) == 2 and _is_reversed([str(word).strip() for word in words]):
        raise UsageError(
            f"engine.hf_overrides.classifier_from_token = {words}: {model!r} makes a document relevant by the last of "
            "them, so every order would be reversed"
        )


def _is_reversed(labels: list[str]) -> bool:
    """Whether the last label, by its name, is that of a document that is not relevant."""
    first, last = (label.lower().replace("_", " ") for label in (labels[0], labels[-1]))
    if NEGATIVE.search(last) or len(labels) == 1:
        return bool(NEGATIVE.search(last))
    denied = last == "0" or last in [prefix + first for prefix in DENYING]
    return denied or (POSITIVE.fullmatch(first) is not None and first not in last.split())


def read_labels(declared: dict[str, Any]) -> list[str]:
    """The names of a classifier's labels, in their order; transformers' default is two."""
    names = declared.get("id2label")
    if isinstance(names, dict) and names:
        return [str(names[number]) for number in sorted(names, key=int)]
    return [f"LABEL_{number}" for number in range(declared.get("num_labels") or 2)]


def _check_labels(model: str, declared: dict[str, Any]) -> None:
    """Raises UsageError for more labels than a score can be made of, and for names that contradict the score."""
    labels = read_labels(declared)
    if len(labels) > 2:
        raise UsageError(
            f"reranker.model = {model!r}: it has {len(labels)} labels ({', '.join(labels)[:100]}); cross_encoder reads "
            "one or two"
        )
    numbers = declared.get("label2id") or {}
    given = declared.get("id2label") and numbers.keys() == {*labels}
    if given and [int(numbers[label]) for label in labels] != [*range(len(labels))]:
        raise UsageError(
            f"reranker.model = {model!r}: id2label = {dict(enumerate(labels))} and label2id = {numbers} of its "
            "config.json contradict each other; correct the wrong one"
        )
    if _is_reversed(labels):
        raise UsageError(
            f"reranker.model = {model!r}: its last label, which makes a document relevant for cross_encoder, is "
            f"{labels[-1]!r} (id2label = {dict(enumerate(labels))}): every order would be reversed; if the names are "
            "wrong and the model is right, correct them in config.json or by engine.hf_overrides.id2label"
        )
