"""How a document becomes a passage of a window, by hand; and settings that make no window."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import ValidationError

from actors.rerankers import RERANKERS
from actors.rerankers.contract import Pair
from actors.rerankers.listwise import Listwise
from actors.rerankers.tokenizer import Tokenizer
from tests.actors.rerankers.versions import make_tokenizer
from tests.awkward import TEXTS


@pytest.fixture
def shorten(tiny_model: Callable) -> Callable[..., Pair]:
    def shorten(family: str, pair: Pair, **given: Any) -> Pair:
        settings = RERANKERS[family].settings(**{"type": family, "model": tiny_model("qwen3")} | given)
        seen = RERANKERS[family].whole_query
        assert seen
        (short,) = seen.shorten(Tokenizer(settings), settings, [pair])
        return short

    return shorten


NUMBERED, LETTERED = "listwise", "first"
SHORTENED: list[tuple[str, dict[str, Any], Pair, tuple[str, str, bool]]] = [
    (NUMBERED, {}, Pair("q", " a \n b\u3000c "), ("q", "a b c", False)),
    (NUMBERED, {"fix_text": False}, Pair(" q ", " a \n b "), (" q ", " a \n b ", False)),
    (NUMBERED, {}, Pair("q", "schÃ¶n &amp; â€œgutâ€\x9d ﬁne"), ("q", 'schön & "gut" fine', False)),
    (NUMBERED, {"fix_text": False}, Pair("q", "schÃ¶n"), ("q", "schÃ¶n", False)),
    (NUMBERED, {}, Pair("see [3]", "[1] [a] [22] [ 3] [[4]]"), ("see (3)", "(1) [a] (22) [ 3] [(4)]", False)),
    (LETTERED, {}, Pair("see [C]", "[1] [a] [Be] [ C]"), ("see (C)", "[1] (a) (Be) [ C]", False)),
    (NUMBERED, {}, Pair("q", "Tea\nis hot", None, False, 4), ("q", "Title: Tea Content: is hot", False)),
    (NUMBERED, {}, Pair("q", "Tea", None, False, 3), ("q", "Title: Tea Content:", False)),
    (NUMBERED, {"title": "{title}: "}, Pair("q", "Tea\nis hot", None, False, 4), ("q", "Tea: is hot", False)),
    (NUMBERED, {"title": ""}, Pair("q", "Tea\nis hot", None, False, 4), ("q", "is hot", False)),
    (NUMBERED, {}, Pair("q", "\n\nis hot", None, False, 2), ("q", "is hot", False)),
    (NUMBERED, {}, Pair("q", "w " * 300), ("q", ("w " * 300).strip(), False)),
    (NUMBERED, {}, Pair("q", "w " * 301), ("q", ("w " * 300).strip(), True)),
    (NUMBERED, {"max_passage_words": 2}, Pair("q", "a  b c"), ("q", "a b", True)),
    (NUMBERED, {"max_passage_words": 2, "fix_text": False}, Pair("q", " a  b c"), ("q", " a  b", True)),
    (
        NUMBERED,
        {"max_passage_words": 4},
        Pair("q", "Tea\nis hot", None, False, 4),
        ("q", "Title: Tea Content: is", True),
    ),
    (NUMBERED, {"max_passage_characters": 3}, Pair("q", "abcd"), ("q", "abc", True)),
    (NUMBERED, {"max_passage_characters": 4}, Pair("q", "abcd"), ("q", "abcd", False)),
    (NUMBERED, {"max_passage_characters": 5}, Pair("q", "[12] x"), ("q", "(12) ", True)),
    (NUMBERED, {"max_passage_tokens": 5}, Pair("q", "7,8,9,1"), ("q", "7,8,9", True)),
    (NUMBERED, {"max_passage_tokens": 7}, Pair("q", "7,8,9,1"), ("q", "7,8,9,1", False)),
    (NUMBERED, {"max_query_tokens": 3}, Pair("7,8,9", "d"), ("7,8", "d", True)),
    (NUMBERED, {"max_query_tokens": 5}, Pair("7,8,9", "d"), ("7,8,9", "d", False)),
    (NUMBERED, {}, Pair("q", "d", None, True), ("q", "d", True)),
    (NUMBERED, {}, Pair("q", ""), ("q", "", False)),
]


@pytest.mark.parametrize(("family", "given", "pair", "expected"), SHORTENED)
def test_how_a_document_becomes_a_passage(
    family: str, given: dict[str, Any], pair: Pair, expected: tuple[str, str, bool], shorten: Callable
) -> None:
    short = shorten(family, pair, **given)
    assert (short.query, short.doc, short.truncated, short.title_end) == (*expected, 0)


def test_shortening_a_passage_again_changes_nothing(shorten: Callable) -> None:
    for text in [*TEXTS, "[1] a " * 400]:
        short = shorten(NUMBERED, Pair(text, text))
        assert shorten(NUMBERED, short) == short


TURNS: dict[str, Any] = {"messages": [{"role": "user", "content": "{query}: [{i}] {passage}"}]}
REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("listwise", {"prompt": "{passages}"}, "must contain {query}"),
    ("listwise", {"prompt": "{query}"}, "must contain {passages} once"),
    ("listwise", {"prompt": "{query} {passage}"}, "write {passages}"),
    ("listwise", {"prompt": "{query} {passages} {passages}"}, "and not 2 times"),
    ("listwise", {"prompt": "{query} [{i}] {passages}"}, "{i}"),
    ("first", {"messages": [{"role": "user", "content": "{query} {passages} [{i}]"}]}, "{i}"),
    ("listwise", {"messages": [{"role": "user", "content": "{query} {passages} {passage}"}]}, "and not 2 times"),
    ("listwise", {"passage": "[{i}]"}, "must contain {passage}"),
    ("listwise", {"max_passage_words": 3, "max_passage_tokens": 4}, "one of the two"),
    ("listwise", {"passages": {"tokens": 4}}, "is for rerankers of pairs"),
    ("listwise", {"ties": ">"}, "sign other than"),
    ("listwise", {"ties": "1"}, "sign other than"),
    ("first", {"ties": "="}, "Extra inputs"),
    ("listwise", {"title": "Title: "}, "must contain {title}, or be empty"),
    ("listwise", {"prompt": "{query} {passages} {doc}"}, "has no place for {doc}"),
    ("setwise", {"passage": "{i} {passage} {instruction}"}, "has no place for {instruction}"),
    ("first", TURNS | {"separator": " "}, "reranker.separator = ' ': is not read"),
    ("first", TURNS | {"passage": "({i}) {passage}"}, "reranker.passage = '({i}) {passage}': is not read"),
    ("setwise", {"answer_pattern": "([0-9])"}, "reranker.answer_pattern = '([0-9])': is not read"),
    ("pairwise", {"k": 3}, "reranker.k = 3: is not read"),
]


@pytest.mark.parametrize(("family", "given", "said"), REFUSED)
def test_settings_that_make_no_window_are_refused(family: str, given: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=re.escape(said)):
        RERANKERS[family].settings(**{"type": family, "model": "m"} | given)


def test_a_limit_of_the_config_stands_in_place_of_the_familys() -> None:
    settings = Listwise(type="listwise", model="m", max_passage_tokens=100)
    assert (settings.max_passage_words, settings.max_passage_tokens) == (None, 100)
    settings = Listwise(type="listwise", model="m")
    assert (settings.max_passage_words, settings.max_passage_tokens) == (300, None)


@pytest.mark.parametrize("family", ["listwise", "first", "setwise", "pairwise"])
def test_a_model_with_an_encoder_is_refused(family: str) -> None:
    settings = RERANKERS[family].settings(type=family, model="m")
    with pytest.raises(ValueError, match="it has an encoder and a decoder"):
        RERANKERS[family].prompt(make_tokenizer("t5"), settings, [Pair("a", "b")])


def test_a_chat_template_that_takes_one_turn_alone_is_refused(tiny_model: Callable) -> None:
    """A window of one passage has two turns, which alternate; that of two has two of the user's side by side."""
    turns = [("user", "{query}"), ("assistant", "ok"), ("user", "[{i}] {passage}")]
    messages = [{"role": role, "content": content} for role, content in turns]
    given: dict[str, Any] = {"type": "first", "model": tiny_model("mistral"), "messages": messages}
    settings = RERANKERS["first"].settings(**given)
    tokenizer = Tokenizer(settings)
    tokenizer.pretrained.chat_template = (
        "{% for message in messages %}{% if (message.role == 'user') != (loop.index0 % 2 == 0) %}"
        "{{ raise_exception('roles must alternate') }}{% endif %}{{ message.content }}{% endfor %}"
    )
    with pytest.raises(ValueError, match="roles must alternate"):
        RERANKERS["first"].prompt(tokenizer, settings, [Pair("a", "b")])
