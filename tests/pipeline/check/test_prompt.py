"""The prompt that --check shows, and frames that are refused or said. Expected ids: of the tokenizers library."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tokenizers
from tokenizers import processors

from actors.rerankers.contract import Pair
from pipeline.check.model import check_tokenizer
from pipeline.check.prompt import compare_with_auto, describe_prompt
from pipeline.check.survey import survey
from pipeline.config import Config, parse
from pipeline.errors import UsageError
from tests import tiny

YES_NO: dict[str, Any] = {"type": "label", "labels": {" yes": 1.0, " no": 0.0}, "score": "probability"}
RAW = YES_NO | {"prompt": "Query: {query}\nDocument: {doc}\nRelevant:"}


def config(model: str, **reranker: Any) -> Config:
    sections: dict[str, Any] = {"input": {"path": "p"}, "output": {"path": "o"}}
    return parse(sections | {"reranker": {"model": model} | reranker})


@pytest.fixture(scope="module")
def llama3(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(tiny.llama3(tmp_path_factory.mktemp("llama3")))


@pytest.fixture(scope="module")
def ending(llama3: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same model with a tokenizer that puts an end token behind texts."""
    folder = tmp_path_factory.mktemp("ending")
    shutil.copytree(llama3, folder, dirs_exist_ok=True)
    file = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    begin, end = "<|begin_of_text|>", "<|end_of_text|>"
    ids = [(token, file.token_to_id(token)) for token in (begin, end)]
    file.post_processor = processors.TemplateProcessing(f"{begin} $A {end}", f"{begin} $A {end} $B:1 {end}:1", ids)
    file.save(str(folder / "tokenizer.json"))
    return folder


@pytest.mark.parametrize(
    ("own", "words"),
    [
        (YES_NO | {"prompt": "<|begin_of_text|>{query} {doc}"}, "begins with '<|begin_of_text|><|begin_of_text|>'"),
        (YES_NO | {"prompt": "{query} {doc}<|end_of_text|>"}, "ends with '<|end_of_text|><|end_of_text|>'"),
        ({"type": "cross_encoder", "prompt": "<|begin_of_text|>{query} {doc}"}, "begins with"),
        ({"type": "cross_encoder", "query_template": "<|begin_of_text|>{query}"}, "begins with"),
        ({"type": "bi_encoder", "doc_template": "<|begin_of_text|>{doc}"}, "begins with"),
    ],
)
def test_what_the_tokenizer_puts_around_a_text_is_not_there_twice(
    own: dict[str, Any], words: str, ending: Path
) -> None:
    with pytest.raises(UsageError) as caught:
        check_tokenizer(config(str(ending), **own))
    line = str(caught.value)
    assert words in line and "leave it out of the config" in line and "\n" not in line


SAID: list[tuple[str, dict[str, Any], str]] = [
    ("ending", RAW, "puts '<|end_of_text|>' behind the prompt"),
    ("llama3", {"type": "cross_encoder"}, "puts '<|begin_of_text|>' before the document, too"),
    ("llama3", RAW, ""),
    ("llama3", {"type": "cross_encoder", "prompt": "{query} {doc}"}, ""),
    ("ending", {"type": "cross_encoder", "prompt": "{query} {doc}"}, ""),
    ("llama3", {"type": "rank1"}, ""),
    ("ending", {"type": "bi_encoder"}, ""),
    ("ending", {"type": "rank1"}, ""),  # it puts nothing behind its prompt
]


@pytest.mark.parametrize(("name", "own", "words"), SAID)
def test_what_is_doubtful_is_said_and_nothing_else(
    name: str, own: dict[str, Any], words: str, request: pytest.FixtureRequest, capsys: pytest.CaptureFixture
) -> None:
    check_tokenizer(config(str(request.getfixturevalue(name)), **own))
    said = capsys.readouterr().err
    assert (words in said and said.count("rayrank:") == 1) if words else "rayrank:" not in said


def test_the_prompt_is_shown_as_text_and_as_ids_and_so_are_the_tokens_that_no_text_gets(llama3: Path) -> None:
    given = config(str(llama3), **RAW)
    tokenizer = check_tokenizer(given)
    pair = Pair("what\nis <|end_of_text|>?", "An apple.\n")
    control, text, ids = describe_prompt(tokenizer, given.reranker, pair)
    assert control == ("control tokens, which no text gets: </think> <think> <|begin_of_text|> <|end_of_text|>")
    file = tokenizers.Tokenizer.from_file(str(llama3 / "tokenizer.json"))
    file.encode_special_tokens = True  # the text's own is spelt out
    expected = file.encode("Query: what\nis <|end_of_text|>?\nDocument: An apple.\n\nRelevant:").ids
    assert ids == f"the first row's prompt, as ids: {expected}"
    assert text == (
        f"the first row's prompt, {len(expected)} tokens: ⟦<|begin_of_text|>⟧Query: what\\nis <|end_of_text|>?\\n"
        "Document: An apple.\\n\\nRelevant:"
    )


@pytest.mark.parametrize(
    ("columns", "shown"),
    [
        ({"query": ["first?"], "doc": ["one"]}, "the first row's prompt, 4"),
        ({"query": [None, " ", "third?"], "doc": ["one", "two", "three"]}, "third"),
        ({"query": [None], "doc": ["one"]}, "a made-up pair's prompt"),
        ({"query": [], "doc": []}, "a made-up pair's prompt"),
    ],
)
def test_the_row_that_is_shown_is_the_first_with_texts(
    columns: dict[str, list[Any]], shown: str, minilm: str, write_pairs: Callable, tmp_path: Path, capsys: Any
) -> None:
    import pyarrow as pa

    texts = {name: pa.array(values, pa.string()) for name, values in columns.items()}
    path = write_pairs(**texts, score=pa.array([1.0] * len(columns["query"]), pa.float64()))
    sections: dict[str, Any] = {"input": {"path": path}, "output": {"path": str(tmp_path / "out")}}
    good, _ = survey(parse(sections | {"reranker": {"type": "bi_encoder", "model": minilm}}))
    lines = [line for line in good if "prompt" in line]
    assert len(lines) == 4 and any(shown in line for line in lines)
    assert "one" not in capsys.readouterr().err, "texts go to no log"


@pytest.mark.parametrize(
    ("kind", "differs"), [("LlamaTokenizerFast", True), ("BertTokenizer", True), ("PreTrainedTokenizerFast", False)]
)
def test_a_difference_from_autotokenizer_is_said(kind: str, differs: bool, llama3: Path, tmp_path: Path) -> None:
    shutil.copytree(llama3, tmp_path / "model")
    about = json.loads((llama3 / "tokenizer_config.json").read_text()) | {"tokenizer_class": kind}
    (tmp_path / "model/tokenizer_config.json").write_text(json.dumps(about))
    given = config(str(tmp_path / "model"), **RAW)
    line = compare_with_auto(check_tokenizer(given), given.reranker)
    assert bool(line) == differs and (not line or "AutoTokenizer of transformers" in line)
