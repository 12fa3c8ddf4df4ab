"""tokenizer.json is the truth: whatever class tokenizer_config.json names, ids and texts are those of the file."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tokenizers
from transformers import AutoTokenizer

from actors.rerankers.lb import LB
from actors.rerankers.pretrained import load_pretrained, save_neutral
from actors.rerankers.tokenizer import Tokenizer

CLASSES = ["LlamaTokenizerFast", "LlamaTokenizer", "Qwen2Tokenizer", "GPT2TokenizerFast", "BertTokenizer", None]
TEXTS = ["Hello  world of files 1234.5\r\n", " def f(x):\n\treturn x ", "Où 苹果 नमस्ते 👩‍🚀", "e\u0301 \u00e9 ﬁ", ""]


def settings(model: Path) -> LB:
    return LB(type="lb", model=str(model))


def copy(model: str, folder: Path, **config: Any) -> Path:
    """A copy of a model's folder with other values in tokenizer_config.json; None takes one out."""
    shutil.copytree(model, folder, ignore=shutil.ignore_patterns("*.safetensors"))
    about = json.loads((folder / "tokenizer_config.json").read_text()) | config
    (folder / "tokenizer_config.json").write_text(json.dumps({k: v for k, v in about.items() if v is not None}))
    return folder


@pytest.mark.parametrize("kind", CLASSES)
@pytest.mark.parametrize("name", ["llama3", "qwen2", "mistral", "gemma", "llama2"])
def test_ids_and_decoded_texts_are_those_of_the_file_whatever_the_class(
    name: str, kind: str | None, tmp_path: Path, tiny_model: Callable
) -> None:
    folder = copy(tiny_model(name), tmp_path / "model", tokenizer_class=kind)
    file = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer = Tokenizer(settings(folder))
    assert tokenizer.encode(TEXTS) == [file.encode(text, add_special_tokens=False).ids for text in TEXTS]
    assert [ids for ids, _ in tokenizer.encode_alone(TEXTS, None)] == [file.encode(text).ids for text in TEXTS]
    for text in TEXTS:
        ids = file.encode(text).ids
        assert tokenizer.decode(ids) == file.decode(ids, skip_special_tokens=False)


@pytest.mark.parametrize("kind", ["LlamaTokenizerFast", "Qwen2Tokenizer", "BertTokenizer"])
@pytest.mark.parametrize("name", ["llama3", "qwen2", "gemma"])
def test_what_the_engine_gets_is_the_same_tokenizer_for_everyone(
    name: str, kind: str, tmp_path: Path, tiny_model: Callable
) -> None:
    folder = copy(tiny_model(name), tmp_path / "model", tokenizer_class=kind)
    (tmp_path / "saved").mkdir()
    save_neutral(settings(folder), tmp_path / "saved")
    file = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    auto = AutoTokenizer.from_pretrained(tmp_path / "saved")  # as vLLM loads it
    assert [auto.encode(text) for text in TEXTS] == [file.encode(text).ids for text in TEXTS]
    assert auto.eos_token == json.loads((folder / "tokenizer_config.json").read_text())["eos_token"]


# Class, what the config says, and what is put before and behind a text by llama3's tokenizer.json, which puts <bos>
LLAMA, OTHER = "LlamaTokenizerFast", "PreTrainedTokenizerFast"
ENDS: list[tuple[str, dict[str, Any], list[str], list[str]]] = [
    (LLAMA, {}, ["bos"], []),
    (LLAMA, {"add_bos_token": True}, ["bos"], []),
    (LLAMA, {"add_bos_token": False}, [], []),
    (LLAMA, {"add_eos_token": True}, ["bos"], ["eos"]),
    (LLAMA, {"add_bos_token": False, "add_eos_token": True}, [], ["eos"]),
    ("LlamaTokenizer", {"add_bos_token": True, "add_eos_token": True}, ["bos"], ["eos"]),
    ("GemmaTokenizer", {"add_bos_token": False}, [], []),
    ("CohereTokenizerFast", {"add_eos_token": True}, ["bos"], ["eos"]),
    (OTHER, {"add_bos_token": False, "add_eos_token": True}, ["bos"], []),
    ("Qwen2Tokenizer", {"add_bos_token": False}, ["bos"], []),
]


@pytest.mark.parametrize(("kind", "said", "before", "after"), ENDS)
def test_tokens_around_a_text_are_those_that_transformers_4_put_there(
    kind: str, said: dict[str, Any], before: list[str], after: list[str], tmp_path: Path, tiny_model: Callable
) -> None:
    folder = copy(tiny_model("llama3"), tmp_path / "model", tokenizer_class=kind, **said)
    file = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    ids = {"bos": file.token_to_id("<|begin_of_text|>"), "eos": file.token_to_id("<|end_of_text|>")}
    around = [ids[end] for end in before], [ids[end] for end in after]
    tokenizer = Tokenizer(settings(folder))
    assert tokenizer.ids_around == around
    bare = file.encode("a b", add_special_tokens=False).ids
    assert tokenizer.encode_alone(["a b"], None) == [([*around[0], *bare, *around[1]], False)]
    pair = [*around[0], *bare, *around[1], *around[0], *bare, *around[1]]
    assert tokenizer.encode_pairs([("a b", "a b")])[0][0] == pair


@pytest.mark.parametrize("form", ["vocab.json and merges.txt", "tokenizer.model", "vocab.txt", ""])
def test_without_a_tokenizer_json_a_line_says_how_to_make_one(form: str, tmp_path: Path, tiny_model: Callable) -> None:
    folder = copy(tiny_model("qwen2"), tmp_path / "model")
    described = json.loads((folder / "tokenizer.json").read_text())["model"]
    (folder / "tokenizer.json").unlink()
    for name in form.split(" and "):
        if name:
            (folder / name).write_text("")
    with pytest.raises(ValueError, match=rf"it has (no tokenizer\.json|{form}, and no .*AutoTokenizer)") as caught:
        load_pretrained(settings(folder))
    assert ("AutoTokenizer" in str(caught.value)) == bool(form)
    if form.startswith("vocab.json"):  # what the line says does it
        (folder / "vocab.json").write_text(json.dumps(described["vocab"]))
        (folder / "merges.txt").write_text("\n".join(" ".join(merge) for merge in described["merges"]))
        code = str(caught.value).partition('python -c "')[2].removesuffix('"').replace("FOLDER", str(folder))
        exec(code)
        whole = tokenizers.Tokenizer.from_file(tiny_model("qwen2") + "/tokenizer.json")
        assert Tokenizer(settings(folder)).encode(["Hello 12"]) == [whole.encode("Hello 12").ids]
