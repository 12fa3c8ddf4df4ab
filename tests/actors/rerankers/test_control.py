"""Added tokens that control a prompt are not for texts; all others are how the model writes text.

Expected ids: of the tokenizers library for the file as it stands, and for a copy of it without the control tokens.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tokenizers
from tokenizers import AddedToken, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from actors.rerankers.label import Label
from actors.rerankers.lb import LB
from actors.rerankers.tokenizer import Tokenizer
from tests import tiny

CHAT = "{% for m in messages %}{{ '[INST]' + m.content }}{% endfor %}{% if add_generation_prompt %}<go>{% endif %}"
# Added tokens that are not special, for the chat template above, and whether they control a prompt
ADDED = {
    "pembrolizumab": False,
    "covid19": False,
    "content": False,  # a word of the template's code
    "<br>": False,
    "</table>": False,
    "🍎": False,
    "{%": False,
    "C++": False,
    "[INST]": True,
    "<go>": True,
    "<|tool|>": True,
    "<think>": True,
    "</think>": True,
    "</answer>": True,
    "<s>": None,  # special
    "[SEP]": None,
}


@pytest.fixture(scope="module", params=["qwen2", "bert", "xlm_roberta", "gemma"])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tokenizers of all kinds (byte-level BPE, WordPiece, Unigram, SentencePiece's BPE) with these tokens."""
    folder = tmp_path_factory.mktemp(request.param)
    getattr(tiny, request.param)(folder)
    pretrained = LB(type="lb", model=str(folder))
    backend: Any = Tokenizer(pretrained).pretrained
    backend.add_tokens([AddedToken(text) for text, control in ADDED.items() if control is not None])
    backend.chat_template = CHAT
    backend.save_pretrained(folder)
    return folder


@pytest.mark.parametrize("word", [word for word, control in ADDED.items() if control is False])
def test_what_is_no_control_token_is_used_in_texts(word: str, model: Path) -> None:
    file = tokenizers.Tokenizer.from_file(str(model / "tokenizer.json"))
    texts = [word, f"a {word} b", f"is it ({word})?\n{word}{word}"]
    expected = [file.encode(text, add_special_tokens=False).ids for text in texts]
    assert all(file.token_to_id(word) in ids for ids in expected)
    assert Tokenizer(LB(type="lb", model=str(model))).encode(texts) == expected


@pytest.mark.parametrize("mark", [word for word, control in ADDED.items() if control is not False])
def test_control_tokens_are_spelt_out(mark: str, model: Path) -> None:
    description = json.loads((model / "tokenizer.json").read_text())
    runs = {t["content"] for t in description["added_tokens"] if not t["content"].strip("\n▁ ")}
    kept = runs | {word for word, control in ADDED.items() if control is False}
    description["added_tokens"] = [t for t in description["added_tokens"] if t["content"] in kept]
    (model / "innocent.json").write_text(json.dumps(description | {"post_processor": None}))
    tokenizer = Tokenizer(LB(type="lb", model=str(model)))
    texts = [f"a {mark} b", f"{mark}covid19{mark}"]
    made = tokenizer.encode(texts)
    assert not {i for ids in made for i in ids} & {*tokenizer.control} - {tokenizer.pretrained.unk_token_id}
    if description["model"]["type"] == "BPE" and mark not in description["model"]["vocab"]:
        innocent = tokenizers.Tokenizer.from_file(str(model / "innocent.json"))
        names = tokenizer.pretrained.convert_ids_to_tokens
        assert [names(ids) for ids in made] == [innocent.encode(text).tokens for text in texts]


@pytest.mark.parametrize(
    ("prompt", "mark", "control"),
    [
        ("<doc>{doc}</doc> {query}", "<doc>", True),
        ("<doc>{doc}</doc> {query}", "</doc>", True),
        ("<doc>{doc}</doc> {query}", "<p>", False),
        ("Is pembrolizumab in {doc}? {query}", "pembrolizumab", False),
    ],
)
def test_marks_of_the_configs_own_template_are_control_tokens(
    prompt: str, mark: str, control: bool, save_tokenizer: Callable[..., str]
) -> None:
    pretrained = tiny.qwen2_tokenizer()
    pretrained.add_tokens([AddedToken(text) for text in ("<doc>", "</doc>", "<p>", "pembrolizumab")])
    model = save_tokenizer(pretrained)
    own = Label(type="label", model=model, prompt=prompt, labels={"yes": 1.0, "no": 0.0}, score="probability")
    tokenizer = Tokenizer(own)
    i = tokenizer.pretrained.convert_tokens_to_ids(mark)
    assert (i in tokenizer.control) == control
    assert (i in tokenizer.encode([f"a {mark} b"])[0]) != control


# Models that know a special token as a piece of a text, too: by the whole word, or by merging its letters
PIECES = ["[UNK]", "[SEP]", "a", "[", "]", "S", "E", "P", "SEP", "##S", "##SEP", "##]"]
WORD = {piece: i for i, piece in enumerate(PIECES)}
MERGES = [("S", "E"), ("SE", "P"), ("[", "SEP"), ("[SEP", "]")]
BY_MERGES = WORD | {"SE": 12, "[SEP": 13}
FINDS: dict[str, tuple[Any, list[int]]] = {
    "WordLevel": (models.WordLevel(WORD, unk_token="[UNK]"), [2, 0, 2]),
    "WordPiece": (models.WordPiece(WORD, unk_token="[UNK]"), [2, 3, 10, 11, 2]),
    "BPE by words": (models.BPE(WORD, [], unk_token="[UNK]", ignore_merges=True), [2, 3, 5, 6, 7, 4, 2]),
    "BPE by merges": (models.BPE(BY_MERGES, MERGES, unk_token="[UNK]"), [2, 13, 4, 2]),
    "Unigram": (models.Unigram([(piece, -1.0) for piece in WORD], unk_id=0), [2, 3, 8, 4, 2]),
}


@pytest.mark.parametrize(("model", "spelt"), FINDS.values(), ids=FINDS)
def test_no_kind_of_model_finds_a_special_token_in_its_vocabulary(
    model: Any, spelt: list[int], save_tokenizer: Callable[..., str]
) -> None:
    backend = tokenizers.Tokenizer(model)
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    backend.add_special_tokens(["[UNK]", "[SEP]"])
    assert backend.encode("a [SEP] a").ids == [2, 1, 2]
    folder = save_tokenizer(PreTrainedTokenizerFast(tokenizer_object=backend), model_type="llama")
    tokenizer = Tokenizer(LB(type="lb", model=folder))
    assert tokenizer.encode(["a [SEP] a", "a ? a"]) == [spelt, [2, 0, 2]]
    assert tokenizer.encode_marked("a [SEP] a") == [2, 1, 2]


def test_a_special_token_with_blanks_in_its_name_is_one(save_tokenizer: Callable[..., str]) -> None:
    pretrained = tiny.qwen2_tokenizer()
    pretrained.add_tokens([AddedToken(" <x> ", special=True)], special_tokens=True)
    tokenizer = Tokenizer(LB(type="lb", model=save_tokenizer(pretrained)))
    i = tokenizer.pretrained.convert_tokens_to_ids(" <x> ")
    assert tokenizer.split_marked("a <x> b") == ["a", (i, False, False), "b"]


@pytest.mark.parametrize(
    ("role", "token", "control"),
    [
        ("pad_token", "!", False),
        ("pad_token", "0", False),
        ("unk_token", "?", False),
        ("eos_token", ".", False),
        ("pad_token", "is", False),
        ("eos_token", "is", True),
        ("pad_token", "<|pad|>", True),
        ("pad_token", "PAD", True),  # no piece of a text
    ],
)
def test_a_piece_of_texts_that_is_named_special_is_still_one(
    role: str, token: str, control: bool, save_tokenizer: Callable[..., str]
) -> None:
    model = save_tokenizer(tiny.qwen2_tokenizer())
    config = Path(model) / "tokenizer_config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {role: token}))
    text = f"Stop{token} Go{token}{token} now 100{token}5?"
    tokenizer = Tokenizer(LB(type="lb", model=model))
    ids = tokenizer.encode([text])[0]
    backend = tokenizers.Tokenizer.from_file(str(Path(model) / "tokenizer.json"))
    backend.add_special_tokens([token])  # as the tokenizer's own config makes it one
    assert backend.decode(ids, skip_special_tokens=False) == text
    assert (backend.token_to_id(token) in ids) != control
    assert control or ids == backend.encode(text, add_special_tokens=False).ids
