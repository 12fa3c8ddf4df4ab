"""The checkpoint of a model held against its architecture: no tensor missing, misshapen or left over.

An engine fills what no tensor fills with whatever is in memory, and passes over what it has no place for. So the model
is built from its config by transformers, on torch's meta device, which takes no memory, and the names of the
checkpoint are put through transformers' own renaming.
"""

from collections.abc import Collection, Mapping
from contextlib import ExitStack
from typing import Any

from actors.engines import get_engine
from actors.engines.contract import EngineFacts
from actors.rerankers import RERANKERS, Settings
from actors.rerankers.contract import Pair, Prompt
from actors.rerankers.files import read_optional_file
from actors.rerankers.tokenizer import Tokenizer
from pipeline.check.adapter import add_adapter
from pipeline.check.checkpoint import Tensor, read_tensors
from pipeline.check.hub import is_away
from pipeline.check.matches import check_ends
from pipeline.check.modules import note_modules
from pipeline.check.numbers import check_types, check_values
from pipeline.config import Config
from pipeline.errors import UsageError, one_line, say

# The tensors in place of a `weight` in checkpoints of GPTQ and AWQ, compressed-tensors, and the 8 bits of bitsandbytes.
PACKED = {"qweight", "weight_packed", "weight"}


def check_weights(config: Config, tokenizer: Tokenizer) -> str | None:
    """Holds the headers of the checkpoint, and the tokenizer, against the architecture. Returns what could not be
    checked, and why; None where all could.

    Raises UsageError where a file is missing or cut short, a tensor is missing, misshapen or left over, or the model
    has no embedding for a token.
    """
    settings, engine = config.reranker, get_engine(config.engine)
    for note in note_modules(config):
        say(note)
    if not engine.reads_checkpoint(config.engine):
        return "the weights, for engine.load_format says that they are of another form"
    model = _build_model(config)
    if isinstance(model, str):
        return model
    request = RERANKERS[settings.type].request(settings)
    if request.task == "classify" and request.labels:
        check_head(engine, settings.model, model)
    check_embeddings(settings, tokenizer, rows := model.get_input_embeddings().weight.shape[0])
    check_ends(settings, rows)
    tensors = read_tensors(settings)
    if settings.adapter:
        tensors = add_adapter(settings, tensors)
    if tensors is None:
        return "the weights, which are not on this machine, or of a form of their own"
    _check_names(engine, settings.model, type(model).__name__, tensors)
    check_types(settings.model, model, tensors)
    compare(settings.model, model, tensors, embeds=request.task == "embed")
    if request.task == "classify" and not request.labels:
        check_values(settings.model, tensors)
    return None


def check_embeddings(settings: Settings, tokenizer: Tokenizer, rows: int) -> None:
    """Raises UsageError where a token of the prompt's frame, a label or a text has no row in the table of embeddings,
    whose rows are given: a tokenizer that grew after its model was saved."""
    reranker = RERANKERS[settings.type]
    frame = [
        token
        for prompt in reranker.prompt(tokenizer, settings, [Pair("a", "a", "a")])
        if isinstance(prompt, Prompt)
        for sequence in prompt.sequences
        for token in sequence
    ]
    words = tokenizer.pretrained.get_vocab().values() - tokenizer.control.keys()
    for what, ids in (
        ("the prompt", frame),
        ("reranker.labels", tokenizer.label_ids(reranker.request(settings).labels)),
        ("a text", words),
    ):
        if (largest := max(ids, default=0)) >= rows:
            token = tokenizer.pretrained.convert_ids_to_tokens(largest)
            raise UsageError(
                f"reranker.model = {settings.model!r}: the token {token!r} of {what} has the id {largest}, and the "
                f"model has {rows} embeddings; resize_token_embeddings was forgotten, or the tokenizer is another "
                "model's"
            )


def check_head(engine: EngineFacts, name: str, model: Any) -> None:
    """Raises UsageError where the rows of the head are not all that makes the labels' logits."""
    biased = getattr(model.get_output_embeddings(), "bias", None) is not None
    if steps := engine.find_other_steps(model.config.get_text_config().to_dict(), biased):
        raise UsageError(
            f"reranker.scoring = 'head': {name} changes its logits by {', '.join(steps)}, which is left out with it; "
            "take scoring: exact"
        )


def compare(name: str, model: Any, tensors: Mapping[str, Tensor], embeds: bool = False) -> None:
    """Raises UsageError where a checkpoint does not have exactly the tensors of a model. Says which it has that belong
    to parts of another model.

    model: of transformers, on the meta device. embeds: only the hidden states are read, so that neither a head nor a
    pooler is needed.
    """
    quantised = hasattr(model.config, "quantization_config")
    missing, misshapen, surplus = _load_headers(model, _unpack(tensors) if quantised else tensors)
    body = model.base_model_prefix if model.base_model is not model else ""
    if embeds:
        missing = {key for key in missing if key.startswith(body) and "pooler" not in key.split(".")}
    if quantised:  # scales and zeros, which only the engine's quantisation knows
        misshapen, surplus = {}, {key for key in surplus if key.rpartition(".")[2] in ("weight", "bias")}
    modules = {key for key, _ in model.named_modules()}
    inside = {key for key in surplus if _find_owner(key, modules) not in ("", body)}
    if wrapped := next((key for key in tensors if key.startswith("base_model.model.")), None):
        raise UsageError(
            f"reranker.model = {name!r}: {tensors[wrapped].file} has {wrapped}, a name of peft's: save the model again "
            "after merge_and_unload"
        )
    kind = type(model).__name__
    if missing:
        raise UsageError(
            f"reranker.model = {name!r}: its files lack the tensor {_name(missing)}, which {kind} needs"
            + (f", and have {_name(surplus)}, which it does not know" if surplus else "")
        )
    if misshapen:
        got, expected = misshapen[_first(misshapen)]
        raise UsageError(
            f"reranker.model = {name!r}: the tensor {_name(misshapen)} has the shape {got}; by config.json it is "
            f"{expected}; do the two belong together?"
        )
    if inside:
        raise UsageError(
            f"reranker.model = {name!r}: its files have the tensor {_name(inside)}, for which {kind} has no place by "
            "config.json; do the two belong together?"
        )
    if surplus:
        say(f"reranker.model = {name!r}: {kind} makes no use of the tensor {_name(surplus)}")


def _check_names(engine: EngineFacts, name: str, kind: str, tensors: Mapping[str, Tensor]) -> None:
    if not engine.loads_names(kind, tensors):
        raise UsageError(
            f"reranker.model = {name!r}: {engine.name} does not load {kind} from {next(iter(tensors.values())).file}, "
            'whose names begin with bert.; save it again without its head: python -c "from transformers import '
            "AutoModel as M; M.from_pretrained('FOLDER').save_pretrained('FOLDER')\""
        )


def _build_model(given: Config) -> Any | str:
    """The model on the meta device; or what cannot be checked without it, and why. Raises UsageError where config.json
    is at fault."""
    import transformers  # imported here: with torch it takes seconds
    from torch import float32
    from transformers.models.auto.auto_mappings import CONFIG_MAPPING_NAMES

    settings, overrides = given.reranker, get_engine(given.engine).config_overrides(given.engine)
    declared = read_optional_file(settings, "config.json") or {}
    try:
        config = transformers.AutoConfig.from_pretrained(
            settings.model, revision=settings.revision, trust_remote_code=settings.trust_remote_code, **overrides
        )
        name = (config.architectures or ["none"])[0]
        if (declared | overrides).get("classifier_from_token"):  # vLLM makes that head of the language model's
            name = name.replace("ForSequenceClassification", "ForCausalLM")
        if not (kind := getattr(transformers, name, None)):
            return f"the weights, for transformers knows no architecture {name}"
        with ExitStack() as stack:
            for context in kind.get_init_context(float32, False, False, None):
                stack.enter_context(context)
            return kind(config)
    except Exception as error:  # of every kind
        said = f"transformers cannot build the model: {one_line(error)[:200]}"
        if settings.trust_remote_code or isinstance(error, ImportError) or is_away(error):
            return f"the weights, for {said}"
        if declared.get("model_type", "") in ("", *CONFIG_MAPPING_NAMES) and not declared.get("auto_map"):
            raise UsageError(f"reranker.model = {settings.model!r}: its config.json is at fault: {said}") from None
        return f"the weights, for {said}"  # a kind that the engine alone knows


def _load_headers(
    model: Any, tensors: Mapping[str, Tensor]
) -> tuple[set[str], dict[str, tuple[list[int], list[int]]], set[str]]:
    """The tensors that are missing, misshapen (with the shape found and the one expected) and left over, by the names
    that transformers has for them."""
    import torch
    from transformers.conversion_mapping import get_model_conversion_mapping
    from transformers.core_model_loading import convert_and_load_state_dict_in_model
    from transformers.modeling_utils import LoadStateDictConfig
    from transformers.utils import logging

    renaming: Any = get_model_conversion_mapping(model)
    how = LoadStateDictConfig(device_map={"": "meta"}, weight_mapping=renaming)
    empty = {name: torch.empty(tensor.shape, device="meta") for name, tensor in tensors.items()}
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    found, _ = convert_and_load_state_dict_in_model(model, empty, how)
    model.tie_weights(missing_keys=found.missing_keys, recompute_mapping=False)
    model._adjust_missing_and_unexpected_keys(found)
    misshapen = {key: (list(got), list(expected)) for key, got, expected in found.mismatched_keys}
    return found.missing_keys, misshapen, found.unexpected_keys


def _unpack(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A quantised checkpoint with a `weight` for each module that has one in any form."""
    plain = {}
    for name, tensor in tensors.items():
        stem, _, kind = name.rpartition(".")
        plain[f"{stem}.weight" if kind in PACKED else name] = tensor
    return plain


def _find_owner(key: str, modules: set[str]) -> str:
    """The innermost module of the model that a tensor's name begins with; "" for none."""
    while key:
        key = key.rpartition(".")[0]
        if key in modules:
            return key
    return ""


def _first(keys: Collection[str]) -> str:
    """The first of some names, by the numbers in them."""
    from transformers.core_model_loading import dot_natural_key

    return min(keys, key=dot_natural_key)


def _name(keys: Collection[str]) -> str:
    """The first of some names, and how many others there are."""
    return _first(keys) + (f" (and {len(keys) - 1} others)" if len(keys) > 1 else "")
