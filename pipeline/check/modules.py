"""The files of sentence-transformers beside a model: its modules, pooling, prompts and similarity.

Engines read the pooling and dense layers of an embedding model. The rest is refused, or said.
"""

from typing import Any, NamedTuple

from actors.engines import get_engine
from actors.engines.contract import EngineFacts
from actors.rerankers import RERANKERS, Settings
from actors.rerankers.bi_encoder import BiEncoder
from actors.rerankers.files import BadFile, find_optional_file, read_optional_file
from pipeline.check.dense import check_dense
from pipeline.config import Config
from pipeline.errors import UsageError

EMBEDS = ["Transformer", "Pooling", "Dense", "Normalize"]  # modules of an embedding model that are run, in this order
UNUSED = "Dropout"  # does nothing after training
PLAIN = ("{query}", "{doc}")  # templates that add nothing
WIDTHS = ("hidden_size", "d_model", "n_embd", "dim")  # what configs call the width of a hidden state
POOLINGS = ("cls", "cls_token", "mean", "mean_tokens", "lasttoken", "last_token")


class Module(NamedTuple):
    """A line of modules.json: the name of its class, its folder in the model's, and the whole name of its class."""

    name: str
    path: str
    kind: str


def check_modules(config: Config, declared: dict[str, Any]) -> None:
    """Raises UsageError where the model's files ask for modules, a pooling or a similarity that are not computed, or
    lack what a module needs. declared: the model's config.json."""
    settings, engine = config.reranker, get_engine(config.engine)
    modules = _read_modules(settings)
    task = RERANKERS[settings.type].request(settings).task
    kinds = [module.name for module in modules]
    if task == "classify" and len(modules) > 1 and not engine.converts(config.engine):
        raise UsageError(
            f"reranker.model = {settings.model!r}: its modules.json is a stack of {', '.join(kinds)}, whose head "
            f"{engine.name} does not run; python jobs/convert.py FOLDER NEW_FOLDER makes a model of a ModernBERT that "
            "runs; save any other as a model for sequence classification of transformers"
        )
    if task != "embed":
        return
    if not (given := engine.sets_pooling(config.engine)):
        _check_kinds(engine, settings, [module for module in modules if module.name != UNUSED])
    width = next((declared[name] for name in WIDTHS if name in declared), None)
    check_dense(engine, settings, [module.path for module in modules if module.name == "Dense"], width)
    if given:
        return
    for module in modules:
        if module.name == "Pooling":
            _check_pooling(engine, settings, module.path)
    similarity = (_read(settings, "config_sentence_transformers.json")).get("similarity_fn_name") or "cosine"
    if similarity != "cosine" and not (similarity == "dot" and "Normalize" in kinds):
        raise UsageError(
            f"reranker.model = {settings.model!r}: its config_sentence_transformers.json asks for the similarity "
            f"{similarity!r}, and bi_encoder computes cosines"
        )


def note_modules(config: Config) -> list[str]:
    """Lines about what the model's files hold for its texts and is not used."""
    settings, engine = config.reranker, get_engine(config.engine)
    if not isinstance(settings, BiEncoder):
        return []
    notes = []
    kinds = [module.name for module in _read_modules(settings)]
    if "Pooling" not in kinds and not engine.sets_pooling(config.engine):
        what = "no Pooling in its modules.json" if kinds else "no modules.json"
        notes.append(f"has {what}, so {engine.name} pools by its default; engine.pooler_config sets another")
    prompts = _read(settings, "config_sentence_transformers.json").get("prompts") or {}
    prompts = {name: prompt for name, prompt in prompts.items() if prompt}
    if prompts and (settings.query_template, settings.doc_template) == PLAIN:
        name, prompt = next(iter(prompts.items()))
        notes.append(
            f"has prompts ({', '.join(prompts)}), which are not put before texts unless reranker.query_template or "
            f"doc_template say so; {name} is {prompt[:100]!r}"
        )
    if _read(settings, "sentence_bert_config.json").get("do_lower_case"):
        notes.append("has do_lower_case in sentence_bert_config.json, which is not done here")
    return [f"reranker.model = {settings.model!r}: {note}" for note in notes]


def _check_kinds(engine: EngineFacts, settings: Settings, modules: list[Module]) -> None:
    """Raises UsageError for modules that the engine does not know by their whole names, or not in this order."""
    known, names = engine.embedding_modules(), [module.name for module in modules]
    for name, _, kind in modules:
        if name not in EMBEDS or (name in ("Pooling", "Dense") and kind not in known):
            raise UsageError(
                f"reranker.model = {settings.model!r}: its modules.json has a module {kind}, which {engine.name} does "
                "not run"
            )
    if sorted(names, key=EMBEDS.index) != names:
        raise UsageError(
            f"reranker.model = {settings.model!r}: its modules.json has {', '.join(names)}, and {engine.name} runs "
            f"them in the order {', '.join(EMBEDS)}"
        )


def _check_pooling(engine: EngineFacts, settings: Any, path: str) -> None:
    if (declared := read_optional_file(settings, f"{path}/config.json")) is None:
        raise UsageError(
            f"reranker.model = {settings.model!r}: has no {path}/config.json, and modules.json names {path}, so that "
            "its pooling is not known; copy or download it again"
        )
    if declared.get("include_prompt") is False and (settings.query_template, settings.doc_template) != PLAIN:
        raise UsageError(
            f"reranker.model = {settings.model!r}: {path}/config.json has include_prompt = false: the prompt's "
            f"tokens are to be left out of the pooling, and {engine.name} pools them, too"
        )
    mode = declared.get("pooling_mode")
    modes = [mode] if isinstance(mode, str) else list(mode or [])
    if isinstance(mode, list) and len(mode) == 1:
        raise UsageError(
            f"reranker.model = {settings.model!r}: {path}/config.json has the list {mode!r} as its pooling_mode, which "
            f"{engine.name} does not read; write it as {modes[0]!r}"
        )
    modes += [name.removeprefix("pooling_mode_") for name, on in declared.items() if on is True and "_mode_" in name]
    if not modes:
        raise UsageError(f"reranker.model = {settings.model!r}: {path}/config.json has no pooling mode that is true")
    if len(modes) > 1 or any(name not in POOLINGS for name in modes):
        raise UsageError(
            f"reranker.model = {settings.model!r}: {path}/config.json asks for the pooling {' and '.join(modes)}; "
            f"{engine.name} has cls, mean and lasttoken, one at a time"
        )


def _read_modules(settings: Settings) -> list[Module]:
    """The modules, in their order; none without a modules.json."""
    found = read_optional_file(settings, "modules.json", list) or []
    try:
        return [Module(module["type"].rpartition(".")[2], module["path"], module["type"]) for module in found]
    except (TypeError, KeyError, AttributeError):
        path = find_optional_file(settings, "modules.json")
        raise BadFile(f"{path}: should be a list of modules with type and path") from None


def _read(settings: Settings, name: str) -> dict[str, Any]:
    return read_optional_file(settings, name) or {}
