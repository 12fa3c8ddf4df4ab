"""The tokenizers of jobs/convert.py: they give the ids of tiktoken and of SentencePiece, on many texts."""

import base64
import random
import shutil
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sentencepiece
import tiktoken
import tokenizers
from transformers import AutoTokenizer

from actors.rerankers.settings import Settings
from actors.rerankers.tokenizer import Tokenizer
from jobs.convert import main
from tests.jobs.originals import KINDS, convert_all, write_spm

TEXTS = [
    "hello world, it's 2023 — I'LLs say:  two  spaces,\ttabs\n\n and   three",
    " leading and trailing ",
    "cafe\u0301 \u00e9t\u00e9 \u212b 你好吗\uff1f 🙂\u200d↔ \x00\x7f naïve Straße \u017f's",
    "aaaaaaa abababab aabaab",
    "def f(x):\n    return x  # 123456\r\n",
    "<|endoftext|>a</s> <reserved_106>b<reserved_10",
    "",
]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return convert_all(tmp_path_factory.mktemp("place"))


def texts() -> Iterator[str]:
    """Texts by hand, and random ones from few letters (for ties between merges) and from all of Unicode."""
    yield from TEXTS
    chance = random.Random(0)
    everything = [chr(i) for i in range(0x110000) if not 0xD800 <= i < 0xE000 and unicodedata.category(chr(i)) != "Cn"]
    for letters, length in [("ab", 30), ("ab .\n", 60), (" theaoinsr1,\n", 80), (everything, 40)] * 100:
        yield "".join(chance.choices(letters, k=length)).replace("\u2581", "")


def load(folder: Path) -> tuple[Any, tokenizers.Tokenizer]:
    """The tokenizer by transformers, which rebuilds parts of some, and as it is in the file."""
    return AutoTokenizer.from_pretrained(folder), tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))


def test_qwen_tokens(place: Path) -> None:
    lines = [line.split() for line in (place / "qwen/qwen.tiktoken").read_bytes().splitlines()]
    ranks = {base64.b64decode(token): int(rank) for token, rank in lines}
    names = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", *(f"<|extra_{i}|>" for i in range(205))]
    special = {name: len(ranks) + i for i, name in enumerate(names)}
    words = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
    original = tiktoken.Encoding("q", pat_str=words + r"|\s+(?!\S)|\s+", mergeable_ranks=ranks, special_tokens=special)
    converted, file = load(place / "qwen-new")
    for text in [*texts(), "a<|im_start|>user\nb<|im_end|><|extra_204|>"]:
        expected = original.encode(unicodedata.normalize("NFC", text), allowed_special="all")
        assert converted.encode(text) == file.encode(text).ids == expected, text
        assert converted.decode(expected) == unicodedata.normalize("NFC", text)
    assert (converted.eos_token_id, converted.pad_token_id, converted.bos_token_id) == (len(ranks), len(ranks), None)


def spm_ids(folder: Path, texts: list[str]) -> list[list[int]]:
    return sentencepiece.SentencePieceProcessor(model_file=str(folder / "tokenizer.model")).encode(texts)


def test_baichuan_tokens(place: Path) -> None:
    converted, file = load(place / "baichuan-new")
    given = [text for text in texts() if "</s>" not in text] + ["x    y  z     <reserved_106> <reserved_106>q"]
    for text, expected in zip(given, spm_ids(place / "baichuan", given), strict=True):
        assert converted.encode(text) == file.encode(text).ids == expected, text
        assert converted.decode(expected) == text
    assert (converted.bos_token_id, converted.eos_token_id, converted.pad_token_id) == (1, 2, 0)
    assert converted.encode("a</s>") == [*converted.encode("a"), 2]


def test_baichuan_with_a_dummy_prefix_and_tokens_around(place: Path, tmp_path: Path) -> None:
    shutil.copytree(place / "baichuan", tmp_path / "in")
    write_spm(tmp_path / "in/tokenizer.model", vocab_size=690, add_dummy_prefix=True)
    (tmp_path / "in/tokenizer_config.json").write_text('{"add_eos_token": true}')
    (tmp_path / "in/added_tokens.json").write_text('{"[SEP]": 691, "[PAD]": 690}')
    assert main([str(tmp_path / "in"), str(tmp_path / "out")]) == 0
    converted = AutoTokenizer.from_pretrained(tmp_path / "out")
    given = [text for text in texts() if "</s>" not in text]
    for text, expected in zip(given, spm_ids(tmp_path / "in", given), strict=True):
        assert converted.encode(text) == [1, *expected, 2], text
        assert converted.decode(expected) == text
    assert converted.convert_tokens_to_ids(["[PAD]", "[SEP]"]) == [690, 691]


@pytest.mark.parametrize("kind", KINDS)
def test_the_project_s_encoder_reads_plain_texts_the_same(kind: str, place: Path) -> None:
    """It spells out special tokens, and must still know Baichuan2's runs of spaces."""
    tokenizer = Tokenizer(Settings(type="lb", model=str(place / f"{kind}-new")))
    converted = AutoTokenizer.from_pretrained(place / f"{kind}-new")
    given = ["hello    world  and", "if x:\n        return 12"]
    assert tokenizer.encode(given) == [converted.encode(text) for text in given]
    assert tokenizer.limit == 512
