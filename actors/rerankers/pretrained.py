"""A model's tokenizer as its authors saved it: tokenizer.json is the truth, for prompts, labels and generations.

transformers 5 rebuilds some tokenizers by the rules of the class that tokenizer_config.json names, and leaves out
what this says of the tokens around a text, which transformers 4 put there. Here it is the other way round.
"""

import json
from pathlib import Path
from typing import Any

from actors.rerankers.files import find_optional_file, read_optional_file
from actors.rerankers.settings import Settings

# The classes (with Fast behind the name or not) that went by add_bos_token and add_eos_token in transformers 4.
WITH_ENDS = ("LlamaTokenizer", "CodeLlamaTokenizer", "GemmaTokenizer", "CohereTokenizer", "GPTNeoXTokenizer")
JSON_FILES = ("config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json")
OTHER_FORMS = (("vocab.json", "merges.txt"), ("tokenizer.model",), ("spiece.model",), ("vocab.txt",))


def load_pretrained(settings: Settings) -> Any:
    """The tokenizer of transformers, which is imported here, for that takes seconds.

    AutoTokenizer is used only where code of the model's may be the tokenizer: it imports torch, which takes five
    seconds more, and goes by the class. Raises ValueError where there is no tokenizer.json, with what makes one.
    """
    if settings.trust_remote_code:
        from transformers import AutoTokenizer

        found = AutoTokenizer.from_pretrained(settings.model, revision=settings.revision, trust_remote_code=True)
        if not found.is_fast:
            raise ValueError("the tokenizer that comes with it as Python code is none of the tokenizers library")
        return found
    about = read_optional_file(settings, "tokenizer_config.json") or {}
    if "AutoTokenizer" in (about.get("auto_map") or {}):
        raise ValueError(
            "it comes with Python code of its own, which may put tokens around a text that tokenizer.json does not "
            "have, and runs only where you say reranker.trust_remote_code=true; if tokenizer.json does without, take "
            "auto_map out of tokenizer_config.json"
        )
    from transformers import PreTrainedTokenizerFast

    try:
        pretrained = PreTrainedTokenizerFast.from_pretrained(settings.model, revision=settings.revision or "main")
    except Exception as error:  # of any kind, where a file is not what it should be, and it does not say which
        for name in JSON_FILES:
            read_optional_file(settings, name)
        if not isinstance(error, ValueError) or find_optional_file(settings, "tokenizer.json"):
            raise
        raise ValueError(_say_how_to_make_one(settings)) from None
    _put_ends(pretrained, about)
    return pretrained


def save_neutral(settings: Settings, folder: Path) -> None:
    """Saves the same tokenizer under a class name that changes nothing, for AutoTokenizer."""
    load_pretrained(settings).save_pretrained(folder)
    about = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps(about | {"tokenizer_class": "PreTrainedTokenizerFast"}))
    # Any model with a tokenizer class of its own: without a config vLLM logs errors, and tries again for seconds.
    (folder / "config.json").write_text(json.dumps({"model_type": "bert"}))


def _put_ends(pretrained: Any, config: dict[str, Any]) -> None:
    """Makes the tokenizer put its begin and end tokens around texts as its config says, if its class went by that."""
    if str(config.get("tokenizer_class")).removesuffix("Fast") not in WITH_ENDS:
        return
    around = pretrained.encode("a")
    puts = {"bos": around[0] == pretrained.bos_token_id, "eos": around[-1] == pretrained.eos_token_id}
    said = {end: bool(config[f"add_{end}_token"]) for end in puts if config.get(f"add_{end}_token") is not None}
    if puts | said != puts:
        pretrained.add_bos_token, pretrained.add_eos_token = (puts | said).values()


def _say_how_to_make_one(settings: Settings) -> str:
    for names in OTHER_FORMS:
        if all(find_optional_file(settings, name) for name in names):
            return (
                f"it has {' and '.join(names)}, and no tokenizer.json, which rayrank needs; this puts one into a local "
                'folder: python -c "from transformers import AutoTokenizer as T; '
                "T.from_pretrained('FOLDER').save_pretrained('FOLDER')\""
            )
    return "it has no tokenizer.json, which rayrank needs"
