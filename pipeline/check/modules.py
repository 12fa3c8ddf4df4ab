"""What sentence-transformers saves beside a model: its modules, pooling, prompts and similarity.

vLLM reads the pooling and dense layers of an embedding model. What it does not read is refused, or said.
"""

from typing import Any

from actors.engines import ENGINE
from actors.rerankers import RERANKERS, Settings
from actors.rerankers.bi_encoder import BiEncoder
from actors.rerankers.files import BadFile, find_optional_file, read_json, read_optional_file
from pipeline.config import Config
from pipeline.errors import UsageError

EMBEDS = ("Transformer", "Pooling", "Dense", "Normalize", "Dropout")  # modules of an embedding model that vLLM runs
POOLINGS = ("cls", "cls_token", "mean", "mean_tokens", "lasttoken", "last_token")


def check_modules(config: Config) -> None:
    """Raises UsageError where the model's files ask for modules, a pooling or a similarity that are not computed."""
    settings = config.reranker
    modules = _read_modules(settings)
    task = RERANKERS[settings.type].request(settings).task
    kinds = [name for name, _ in modules]
    if task == "classify" and len(modules) > 1 and not ENGINE.converts(config.engine):
        raise UsageError(
            f"reranker.model = {settings.model!r}: its modules.json is a stack of {', '.join(kinds)}, whose head "
            f"{ENGINE.name} does not run; python jobs/convert.py FOLDER NEW_FOLDER makes a model of a ModernBERT that "
            "runs; save any other as a model for sequence classification of transformers"
        )
    if task != "embed" or ENGINE.sets_pooling(config.engine):
        return
    if other := [name for name in kinds if name not in EMBEDS]:
        raise UsageError(
            f"reranker.model = {settings.model!r}: its modules.json has a module {other[0]}, which {ENGINE.name} does "
            "not run"
        )
    for name, path in modules:
        if name == "Pooling":
            _check_pooling(settings, path)
    similarity = (_read(settings, "config_sentence_transformers.json")).get("similarity_fn_name") or "cosine"
    if similarity != "cosine" and not (similarity == "dot" and "Normalize" in kinds):
        raise UsageError(
            f"reranker.model = {settings.model!r}: its config_sentence_transformers.json asks for the similarity "
            f"{similarity!r}, and bi_encoder computes cosines"
        )


def note_modules(config: Config) -> list[str]:
    """Lines about what the model's files hold for its texts and is not used."""
    settings = config.reranker
    if not isinstance(settings, BiEncoder):
        return []
    notes = []
    if not _read_modules(settings) and not ENGINE.sets_pooling(config.engine):
        notes.append(f"has no modules.json, so {ENGINE.name} pools by its default; engine.pooler_config sets another")
    prompts = _read(settings, "config_sentence_transformers.json").get("prompts") or {}
    prompts = {name: prompt for name, prompt in prompts.items() if prompt}
    if prompts and (settings.query_template, settings.doc_template) == ("{query}", "{doc}"):
        name, prompt = next(iter(prompts.items()))
        notes.append(
            f"has prompts ({', '.join(prompts)}), which are not put before texts unless reranker.query_template or "
            f"doc_template say so; {name} is {prompt[:100]!r}"
        )
    if _read(settings, "sentence_bert_config.json").get("do_lower_case"):
        notes.append("has do_lower_case in sentence_bert_config.json, which is not done here")
    return [f"reranker.model = {settings.model!r}: {note}" for note in notes]


def _check_pooling(settings: Settings, path: str) -> None:
    declared = _read(settings, f"{path}/config.json")
    mode = declared.get("pooling_mode")
    modes = [mode] if isinstance(mode, str) else list(mode or [])
    modes += [name.removeprefix("pooling_mode_") for name, on in declared.items() if on is True and "_mode_" in name]
    if len(modes) > 1 or any(name not in POOLINGS for name in modes):
        raise UsageError(
            f"reranker.model = {settings.model!r}: {path}/config.json asks for the pooling {' and '.join(modes)}; "
            f"{ENGINE.name} has cls, mean and lasttoken, one at a time"
        )


def _read_modules(settings: Settings) -> list[tuple[str, str]]:
    """The classes of a model's modules, in their order, and their folders; none without a modules.json."""
    path = find_optional_file(settings, "modules.json")
    found = read_json(path, list) if path else []
    try:
        return [(module["type"].rpartition(".")[2], module["path"]) for module in found]
    except (TypeError, KeyError, AttributeError):
        raise BadFile(f"{path}: should be a list of modules with type and path") from None


def _read(settings: Settings, name: str) -> dict[str, Any]:
    return read_optional_file(settings, name) or {}
