"""Passages of long documents: where they are cut, and what their scores become."""

import random
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import ValidationError

from actors.rerankers import RERANKERS
from actors.rerankers.contract import Pair, Prompt, Unscored
from actors.rerankers.passages import cut_pair, cut_passages, join_passages, make_prompts
from actors.rerankers.settings import Passages
from actors.rerankers.tokenizer import Tokenizer
from tests.file_tokenizer import FileTokenizer

MODELS = ["qwen2", "mistral", "bert"]  # byte-level BPE, SentencePiece, WordPiece


@pytest.fixture
def load(tiny_model: Callable) -> Callable[[str], Tokenizer]:
    def load(name: str) -> Tokenizer:
        return Tokenizer(RERANKERS["bi_encoder"].settings(type="bi_encoder", model=tiny_model(name)))

    return load


def draw_doc(seed: int) -> str:
    draw = random.Random(seed)
    words = ["apple", "tree", "fruit.", "is", "what?", "Où", "苹果。", "1,234.5", "yes!)", "\n\n", "👩‍🚀", "x" * 40]
    return " ".join(draw.choice(words) for _ in range(draw.randint(0, 150)))


@pytest.mark.parametrize("name", MODELS)
def test_passages_overlap_cover_all_and_have_no_more_tokens(name: str, load: Callable, tiny_model: Callable) -> None:
    tokenizer, reference = load(name), FileTokenizer(tiny_model(name))
    for seed in range(40):
        doc, draw = draw_doc(seed), random.Random(seed)
        tokens = draw.randint(1, 40)
        overlap = draw.randint(0, tokens // 2)
        passages = cut_passages(tokenizer, doc, Passages(tokens=tokens, overlap=overlap))
        if len(reference.ids(doc)) <= tokens:
            assert passages == [doc]
        if not overlap:
            assert "".join(passages) == doc
        ends = {0}  # where the passages so far may end
        for passage in passages:
            places = {place for end in ends for place in range(max(0, end - len(passage)), end + 1)}
            ends = {place + len(passage) for place in places if doc.startswith(passage, place)}
        assert len(doc) in ends, "nothing between two passages is lost"
        starts = [start for start, _ in reference._tokenizer.encode(doc, add_special_tokens=False).offsets]
        assert all(passages) or passages == [""]
        for passage in passages[:-1]:
            at = doc.index(passage)
            inside = sum(at <= start < at + len(passage) for start in starts)
            assert inside <= tokens or len(passage) == 1, "no more tokens than that, but for one character of more"


@pytest.mark.parametrize(
    ("doc", "tokens", "overlap", "expected"),
    [
        pytest.param("a b c d e f g", 3, 0, ["a b c", " d e f", " g"], id="no sentence ends"),
        pytest.param("a b c d e f g", 4, 2, ["a b c d", " c d e f", " e f g"], id="an overlap"),
        pytest.param("a b. c d e f", 4, 0, ["a b.", " c d e f"], id="a sentence ends in the second half"),
        pytest.param("a. b c d e f", 4, 0, ["a. b c", " d e f"], id="one ends in the first half alone"),
        pytest.param("a b 1.5 c d e", 7, 0, ["a b 1.5 c", " d e"], id="a point inside a number ends none"),
        pytest.param("a b\nc d e", 3, 0, ["a b\n", "c d e"], id="a line break"),
        pytest.param("a b c", 3, 1, ["a b c"], id="one that fits"),
        pytest.param("", 3, 1, [""], id="an empty one"),
    ],
)
def test_by_hand(doc: str, tokens: int, overlap: int, expected: list[str], load: Callable) -> None:
    assert cut_passages(load("qwen2"), doc, Passages(tokens=tokens, overlap=overlap)) == expected


def test_the_title_stands_before_each_passage(load: Callable) -> None:
    pair = Pair("q", "The title a b c d", "find", title_end=len("The title "))
    cut = cut_pair(load("qwen2"), pair, Passages(tokens=2))
    assert [(passage.query, passage.doc, passage.instruction) for passage in cut] == [
        ("q", "The title a b", "find"),
        ("q", "The title  c d", "find"),
    ]
    assert cut_pair(load("qwen2"), pair, None) == [pair]


def test_prompts_are_those_of_the_passages_as_pairs_and_one_refusal_is_the_pairs(load: Callable) -> None:
    tokenizer, docs = load("qwen2"), ["a b c d e", "f", "g h i"]

    def prompt(tokenizer: Any, settings: Any, pairs: list[Pair]) -> list[Prompt | Unscored]:
        return [Unscored("no") if "h" in pair.doc else Prompt([tokenizer.encode([pair.doc])[0]]) for pair in pairs]

    reranker = RERANKERS["bi_encoder"].__class__(**vars(RERANKERS["bi_encoder"]) | {"prompt": prompt})
    settings = RERANKERS["bi_encoder"].settings(type="bi_encoder", model="m", passages=Passages(tokens=2))
    made = make_prompts(reranker, tokenizer, settings, [Pair("q", doc) for doc in docs])
    ids = [[tokenizer.encode([text])[0]] for text in ("a b", " c d", " e", "f")]
    assert made == [[Prompt(each) for each in ids[:3]], [Prompt(ids[3])], Unscored("no")]


MAY_PASS = Unscored("the engine died", transient=True)


@pytest.mark.parametrize(
    ("how", "scores", "expected", "best"),
    [
        ("max", [1.0, 3.0, -2.0], 3.0, "passage 2 of 3"),
        ("first", [1.0, 3.0, -2.0], 1.0, "passage 2 of 3"),
        ("mean", [1.0, 3.0, -2.0], 2 / 3, "passage 2 of 3"),
        ("top3", [1.0, 3.0, -2.0, 5.0], 3.0, "passage 4 of 4"),
        ("top3", [1.0, 4.0], 2.5, "passage 2 of 2"),
        ("max", [2.0, 2.0], 2.0, "passage 1 of 2"),
        ("max", [7.0], 7.0, "passage 1 of 1"),
        ("max", [7.0, MAY_PASS], MAY_PASS, "passage 1 of 2"),
        ("first", [Unscored("empty"), MAY_PASS], Unscored("empty"), "passage 1 of 2"),
    ],
)
def test_what_scores_become(how: Any, scores: list[Any], expected: Any, best: str) -> None:
    given = [0.0, *scores, 9.0]
    texts: list[str | None] = [None] * len(given)
    joined, written = join_passages(given, texts, [1, len(scores), 1], Passages(tokens=1, score=how))
    assert joined == [0.0, pytest.approx(expected) if isinstance(expected, float) else expected, 9.0]
    assert written == ["passage 1 of 1", best, "passage 1 of 1"]


def test_the_text_is_that_of_the_best_passage() -> None:
    _, written = join_passages([1.0, 2.0], ["worse", "better"], [2], Passages(tokens=1))
    assert written == ["passage 2 of 2\nbetter"]


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"tokens": 0}, "greater than or equal to 1"),
        ({"tokens": 10, "overlap": 6}, "should be at most half of tokens = 10"),
        ({"tokens": 10, "score": "median"}, "'max', 'first', 'mean' or 'top3'"),
        ({"overlap": 1}, "tokens"),
    ],
)
def test_settings_that_are_wrong(given: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        RERANKERS["lb"].settings.model_validate({"type": "lb", "model": "m", "passages": given})
