"""Tokenizers, chat templates and rows of the input that do not belong to the model, or not to each other."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from actors.rerankers.contract import Pair
from actors.rerankers.tokenizer import load_tokenizer
from pipeline.check.matches import check_ends, check_first_pairs
from pipeline.check.model import check_tokenizer
from pipeline.config import Config, parse
from pipeline.errors import UsageError
from tests import tiny

LABEL = {"type": "label", "labels": {"yes": 1.0, "no": 0.0}, "score": "logit"}
CHAT = LABEL | {"messages": [{"role": "user", "content": "{query}\n{doc}"}]}
INST = "{% for m in messages %}{{ '[INST] ' + m.content + ' [/INST]' if m.role == 'user' else m.content }}{% endfor %}"
HEADED = "{% for m in messages %}{{ '### ' + m.role + '\n' + m.content + '\n' }}{% endfor %}"
SILENT = tiny.CHATML.partition("{%- if add_generation_prompt")[0]


@pytest.fixture
def make(built: Callable[[str], Path], tmp_path: Path) -> Callable[..., Config]:
    """A config for a copy of a tiny model. template: its chat template. edit: changes its tokenizer.json. about: of
    its config.json."""

    def make(name: str, reranker: dict[str, Any], template: str = "", edit: Any = None, **about: Any) -> Config:
        folder = tmp_path / "model"
        shutil.copytree(built(name), folder, ignore=shutil.ignore_patterns("*.safetensors"))
        if template:
            (folder / "chat_template.jinja").write_text(template)
        for file, change in (("config.json", lambda found: found.update(about)), ("tokenizer.json", edit)):
            found = json.loads((folder / file).read_text())
            if change:
                change(found)
                (folder / file).write_text(json.dumps(found))
        section = {"model": str(folder)} | reranker
        return parse({"input": {"path": "p"}, "reranker": section, "output": {"path": "o"}})

    return make


@pytest.mark.parametrize(
    ("prompt", "said"),
    [
        ("<|im_start|>{query} {doc}<|im_stop|>", "<|im_stop|>"),
        ("<|user|>{query} {doc}<|assistant|>", "<|assistant|> <|user|>"),
        ("{query} {doc}<|eot_id|>", "<|eot_id|>"),
        ("<|im_start|>{query} {doc}<|im_end|>", None),
        ("a<|b {query} | {doc} c|>", None),
        ("[INST]{query} {doc}<think>", None),
    ],
)
def test_a_mark_that_is_spelt_in_pieces_is_said(
    prompt: str, said: str | None, make: Callable[..., Config], capsys: pytest.CaptureFixture[str]
) -> None:
    check_tokenizer(make("qwen2", LABEL | {"prompt": prompt}))
    line = capsys.readouterr().err
    assert f"the prompt has {said}, which is no token" in line if said else line == ""


@pytest.mark.parametrize(
    ("template", "said"),
    [
        (SILENT, "<|im_end|>"),
        (HEADED, "B"),
        (tiny.CHATML.replace("add_generation_prompt", "add_prompt"), "<|im_end|>"),
        (tiny.CHATML, None),
        (tiny.QWEN3_CHATML, None),
        (INST, None),
        (HEADED + "{{ '### assistant\n' if add_generation_prompt }}", None),
    ],
)
def test_a_turn_that_is_not_begun_is_said(
    template: str, said: str | None, make: Callable[..., Config], capsys: pytest.CaptureFixture[str]
) -> None:
    messages = [{"role": "user", "content": "{query} {doc} B"}]
    check_tokenizer(make("qwen2", CHAT | {"messages": messages}, template))
    line = capsys.readouterr().err
    assert "does not begin the assistant's turn, so the answer is read behind '" in line if said else line == ""
    assert not said or f"{said}'; does" in line


ROWS = [("a red apple", "Paris, 1.5"), ("ÄÖ </s> {{ x }}", "x\ny"), ("q", "two\n\nlines ")]


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ("m.content | replace('apple', 'pear')", "apple"),
        ("('' if '/off' in m.content else m.content)", "a /off b"),
        ("(m.content | upper if '7' in m.content else m.content)", "7 dwarfs"),
        ("m.content.split('###')[0]", "a ### b"),
    ],
)
def test_a_template_that_changes_texts_of_the_first_rows_is_refused(
    change: str, text: str, make: Callable[..., Config]
) -> None:
    template = tiny.QWEN3_CHATML.replace("message.content", change.replace("m.", "message."))
    config = make("qwen2", CHAT, template)
    tokenizer, pairs = check_tokenizer(config), [Pair(*row) for row in ROWS if text not in row[0]]
    check_first_pairs(tokenizer, config.reranker, pairs)
    for pair in (Pair(text, "d"), Pair("q", text)):
        with pytest.raises(UsageError, match=f"input's first {len(pairs) + 1} rows, its chat template does more"):
            check_first_pairs(tokenizer, config.reranker, [*pairs, pair])


@pytest.mark.parametrize("most", [200, 5_000, 90_000])
def test_a_template_that_cuts_texts_is_refused(most: int, make: Callable[..., Config]) -> None:
    template = tiny.QWEN3_CHATML.replace("message.content", f"message.content[:{most}]")
    with pytest.raises(UsageError, match="does more to the messages' texts than trim them"):
        check_tokenizer(make("qwen2", CHAT, template))


@pytest.mark.parametrize("name", ["xlm_roberta", "bert", "modernbert", "llama_classifier"])
def test_a_sound_pair_is_taken_in_silence(
    name: str, make: Callable[..., Config], capsys: pytest.CaptureFixture[str]
) -> None:
    config = make(name, {"type": "cross_encoder"})
    check_first_pairs(check_tokenizer(config), config.reranker, [Pair("read a file", "the file, line by line")])
    assert "[SEP]" not in (said := capsys.readouterr().err) and "unknown" not in said


@pytest.mark.parametrize(
    ("name", "reranker", "side", "said"),
    [
        ("bert", {"type": "cross_encoder"}, "left", True),
        ("bert", {"type": "bi_encoder"}, "left", True),
        ("bert", {"type": "bi_encoder"}, "right", False),
        ("qwen2", {"type": "lb"}, "left", False),  # its own code cuts
    ],
)
def test_a_side_to_cut_that_is_not_ours_is_said(
    name: str, reranker: dict[str, Any], side: str, said: bool, make: Callable[..., Config], capsys: Any
) -> None:
    config = make(name, reranker)
    file = Path(config.reranker.model) / "tokenizer_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"truncation_side": side}))
    check_tokenizer(config)
    assert ("has truncation_side = 'left'" in capsys.readouterr().err) == said


@pytest.mark.parametrize(
    ("prompt", "said"),
    [
        (r"{query}\n{doc}", True),
        (r"{query} {doc}\t\n", True),
        ("{query}\n{doc}", False),
        (r"The gradient \nabla and \theta of {query} {doc}", False),
    ],
)
def test_a_line_break_that_is_two_letters_is_said(
    prompt: str, said: bool, make: Callable[..., Config], capsys: pytest.CaptureFixture[str]
) -> None:
    check_tokenizer(make("qwen2", LABEL | {"prompt": prompt}))
    assert ("has a backslash before an n or a t" in capsys.readouterr().err) == said


@pytest.mark.parametrize(
    ("auto_map", "fits"),
    [
        ({"AutoTokenizer": ["code.A", "code.B"]}, False),
        ({"AutoTokenizer": ["code.A", None]}, False),
        ({"AutoConfig": "code.C"}, True),
        (None, True),
    ],
)
@pytest.mark.parametrize("name", ["qwen2", "bert"])
def test_a_tokenizer_with_code_of_its_own_is_not_taken_for_its_file(
    name: str, auto_map: dict[str, Any] | None, fits: bool, make: Callable[..., Config]
) -> None:
    config = make(name, {"type": "bi_encoder"})
    file = Path(config.reranker.model) / "tokenizer_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"auto_map": auto_map}))
    if fits:
        check_tokenizer(config)
        return
    with pytest.raises(UsageError, match="cannot load its tokenizer: it comes with Python code of its own, which may"):
        check_tokenizer(config)


@pytest.mark.parametrize(
    ("name", "about", "line"),
    [
        ("xlm_roberta", {"pad_token_id": 0}, "pad_token_id is 0 in its config.json and 1 in its tokenizer"),
        ("xlm_roberta", {"pad_token_id": 2}, "pad_token_id is 2"),
        ("bert", {"model_type": "mpnet", "pad_token_id": 1}, "pad_token_id is 1 in its config.json and 0 in its"),
        ("bert", {"model_type": "roberta", "type_vocab_size": 1}, "the type 1, and the model has type_vocab_size = 1"),
        ("bert", {"type_vocab_size": 1}, "the type 1, and"),
    ],
)
def test_ids_of_another_model_are_refused(
    name: str, about: dict[str, Any], line: str, make: Callable[..., Config]
) -> None:
    with pytest.raises(UsageError, match=line):
        check_tokenizer(make(name, {"type": "cross_encoder"}, **about))


@pytest.mark.parametrize("about", [{"pad_token_id": None}, {"type_vocab_size": 0}, {"type_vocab_size": 3}])
def test_ids_that_may_be_right_are_taken(about: dict[str, Any], make: Callable[..., Config]) -> None:
    check_tokenizer(make("bert", {"type": "cross_encoder"}, **about))


def no_processor(tokenizer: dict[str, Any]) -> None:
    tokenizer["post_processor"] = None


def bare_pairs(tokenizer: dict[str, Any]) -> None:
    tokenizer["post_processor"]["pair"] = [{"Sequence": {"id": side, "type_id": 0}} for side in "AB"]


@pytest.mark.parametrize(
    ("name", "edit", "token"),
    [
        ("bert", no_processor, "[SEP]"),
        ("modernbert", bare_pairs, "[SEP]"),
        ("xlm_roberta", no_processor, "</s>"),
    ],
)
def test_a_pair_without_a_separator_is_said(
    name: str, edit: Callable, token: str, make: Callable[..., Config], capsys: pytest.CaptureFixture[str]
) -> None:
    check_tokenizer(make(name, {"type": "cross_encoder"}, edit=edit))
    assert f"the prompt has no '{token}', though" in capsys.readouterr().err


def cased(tokenizer: dict[str, Any]) -> None:
    tokenizer["normalizer"]["lowercase"] = False


@pytest.mark.parametrize(
    ("edit", "pair", "said"),
    [
        (cased, Pair("Read the file", "line by line, line by line, line by line"), "1 tokens .* 'Read' among them"),
        (
            None,
            Pair("苹果是水果", "a file"),
            r"tokens of the input's first 1 rows are unknown .* \(\[UNK\]\)",
        ),
        (None, Pair("नमस्ते दुनिया", "привет"), "are unknown"),
        (None, Pair("a file", "line by line — ☃ and so on, as it was in the file"), None),
        (None, Pair("Read THE file", "w" * 200 + " is a long word"), None),
    ],
)
def test_texts_that_the_tokenizer_does_not_know_are_said(
    edit: Any, pair: Pair, said: str | None, make: Callable[..., Config], capsys: pytest.CaptureFixture[str]
) -> None:
    config = make("bert", {"type": "cross_encoder"}, edit=edit)
    check_first_pairs(load_tokenizer(config.reranker), config.reranker, [pair])
    line = capsys.readouterr().err
    assert re.search(said, line) if said else line == ""


@pytest.mark.parametrize("ends", [5000, [1, 700], 604])
@pytest.mark.parametrize("file", ["config.json", "generation_config.json"])
def test_an_end_that_is_no_token_is_refused(file: str, ends: Any, make: Callable[..., Config]) -> None:
    config = make("qwen2", {"type": "erank", "max_new_tokens": 50})
    check_ends(config.reranker, 604)
    (Path(config.reranker.model) / file).write_text(json.dumps({"eos_token_id": ends}))
    with pytest.raises(UsageError, match=rf"eos_token_id in its {file} is \d+, and the model has 604 embeddings"):
        check_ends(config.reranker, 604)
    label = make_label(config)
    check_ends(label.reranker, 604)


def make_label(config: Config) -> Config:
    """One token is read, so no end is needed."""
    section = LABEL | {"model": config.reranker.model, "prompt": "{query} {doc}"}
    return parse({"input": {"path": "p"}, "reranker": section, "output": {"path": "o"}})
