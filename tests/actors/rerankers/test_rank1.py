"""rank1 against its authors' code, for the tokens that vLLM generated."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from actors.rerankers.contract import Pair, Prompt, Reply, Unscored
from actors.rerankers.rank1 import RERANKER, Rank1
from actors.rerankers.tokenizer import Tokenizer
from tests import tiny_trained
from tests.file_tokenizer import FileTokenizer
from tests.parity import ENGINES, SLOW, SOME_PAIRS, Reference, Scored, assert_same, score_pairs, scores
from tests.tiny_trained import RANK1, RANK1_WAIT

NEW_TOKENS = 64


PROMPT = (
    "Determine if the following passage is relevant to the query. Answer only with 'true' or 'false'.\n"
    "Query: {query}\nPassage: {passage}\n<think>"
)
BEGINS = ("<|begin_of_text|>", "<s>")  # what Llama 3's and Mistral's tokenizers put before a text


def prompt(tokenizer: FileTokenizer, query: str, passage: str, written: str = "", ask: str = "{query}") -> list[int]:
    """The ids of the authors' prompt with what the model wrote behind it. ask: a dataset's prompt for the query."""
    begin = next((token for token in BEGINS if token in tokenizer.names), "")
    return tokenizer.fill(begin + PROMPT.replace("{query}", ask) + written, query=query, passage=passage)


def authors(reference: Reference, query: str, passage: str, replies: list[Reply]) -> float:
    """The authors' score of vLLM's generations, round by round, with the label probabilities of transformers."""
    tokenizer = reference.tokenizer
    rounds = [reply for reply in replies if reply.text or len(reply.tokens) > 1 or reply is replies[0]]
    text = ""
    for number, reply in enumerate(rounds):
        text = text.split("</think>")[0] + "\nWait" if number else ""
        assert reply.prompt == prompt(tokenizer, query, passage, text)
        text += reply.text
    last = rounds[-1]
    if last.text.endswith(("</think> true", "</think> false")):
        logprobs = reference.logprobs(last.prompt + list(last.tokens[:-1]))
    else:
        text = text.rstrip()
        if not text.endswith((".", "!", "?")) and any(mark in text for mark in ".!?"):
            text = text[: max(text.rfind(mark) for mark in ".!?") + 1]
        logprobs = reference.logprobs(prompt(tokenizer, query, passage, f"\n{text.strip()}\n</think>"))
    true, false = (np.exp(float(logprobs[tokenizer.id(word)])) for word in (" true", " false"))
    return true / (true + false)


def expected(reference: Reference, pairs: list[tuple[str, str]], results: list[Scored]) -> np.ndarray:
    rows = zip(pairs, results, strict=True)
    return np.array([authors(reference, *pair, result.replies) for pair, result in rows])


@pytest.mark.parametrize(
    ("name", "engine"),
    [
        pytest.param("rank1_qwen2", "cached", marks=SLOW),
        ("rank1_qwen2", "chunked"),
        pytest.param("llama3", "cached", marks=SLOW),
        pytest.param("mistral", "chunked", marks=SLOW),
        ("rank1_qwen2", "transformers"),
        ("llama3", "transformers"),
    ],
)
def test_scores_are_the_authors(name: str, engine: str, tiny_model: Callable) -> None:
    model = tiny_model(name)
    got = score_pairs({"type": "rank1", "model": model, "max_new_tokens": 24}, ENGINES[engine], SOME_PAIRS)
    assert_same(scores(got), expected(Reference(model), SOME_PAIRS, got))


def test_title_instruction_and_dataset_prompt_are_joined_as_the_authors_join_them(tiny_model: Callable) -> None:
    settings = Rank1(type="rank1", model=tiny_model("rank1_qwen2"), query_template="FILL_QUERY_HERE Find it.\n\n")
    tokenizer, file = Tokenizer(settings), FileTokenizer(settings.model)
    for pair, query in [
        (Pair("a query ", "T text"), "a query  Find it.\n\n"),
        (Pair("a query ", "T text", " Only recent ones. "), "a query   Only recent ones. Find it.\n\n"),
        (Pair(" same ", "T text", "same"), "same Find it.\n\n"),
        (Pair("{query} FILL_QUERY_HERE", "T text"), "{query} FILL_QUERY_HERE Find it.\n\n"),
    ]:
        assert RERANKER.prompt(tokenizer, settings, [pair]) == [Prompt([prompt(file, query, "T text")])]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> str:
    return tiny_trained.rank1(tmp_path_factory.mktemp("rank1"))


@pytest.mark.parametrize(
    ("rethink", "engine"), [(0, "cached"), pytest.param(1, "cached", marks=SLOW), (1, "transformers")]
)
def test_a_model_that_reasons_is_scored_however_it_ends(rethink: int, engine: str, trained: str) -> None:
    keys = [key for key in RANK1 if not rethink or key in RANK1_WAIT]
    pairs = [(f"query {i}", f"It is about apples. It is {key} of all.") for i in range(3) for key in keys]
    settings = {"type": "rank1", "model": trained, "max_new_tokens": NEW_TOKENS, "rethink": rethink}
    results = score_pairs(settings, ENGINES[engine], pairs)
    got = scores(results)
    assert not np.isnan(got).any()
    np.testing.assert_allclose(got, expected(Reference(trained), pairs, results), rtol=1e-3)
    for (_, doc), result, score in zip(pairs, results, got, strict=True):
        key = doc.split()[6]
        wrote = result.text or ""
        if rethink:
            assert wrote == f"{RANK1[key]}\n{RANK1_WAIT[key]}"
            assert (score > 0.5) == RANK1_WAIT[key].endswith("true"), "the last round decides"
        elif key in ("ENDLESS", "RAMBLING"):
            assert RANK1[key][:40] == wrote[:40], "cut off at max_new_tokens"
        else:
            assert wrote in (RANK1[key], RANK1[key].replace("true", "false"), RANK1[key].replace("false", "true"))
    if not rethink:
        by_key = dict(zip((doc.split()[6] for _, doc in pairs), got, strict=False))
        assert by_key["SURE"] > 0.9 > 0.8 > by_key["PERHAPS"] > 0.5 > by_key["HARDLY"] > 0.2 > 0.1 > by_key["NEVER"]


@pytest.mark.parametrize(
    ("text", "closed"),
    [
        ("One. Two! And thr", "\nOne. Two!\n</think>"),
        ("One. Two? \n", "\nOne. Two?\n</think>"),
        ("no end", "\nno end\n</think>"),
        ("", "\n\n</think>"),
    ],
)
def test_unfinished_reasoning_is_cut_after_its_last_sentence_and_closed(
    text: str, closed: str, tiny_model: Callable
) -> None:
    settings = Rank1(type="rank1", model=tiny_model("rank1_qwen2"))
    tokenizer = Tokenizer(settings)
    prompt = [*tokenizer.encode(["to be asked"])[0], tokenizer.pretrained.get_added_vocab()["<think>"]]
    again: Any = RERANKER.score(tokenizer, settings, [Reply(prompt, 0, (5,), text)])
    assert again.max_tokens == 1
    assert tokenizer.decode(again.sequences[0][len(prompt) :]) == closed


def test_a_forced_completion_never_outgrows_the_context(tiny_model: Callable) -> None:
    settings = Rank1(type="rank1", model=tiny_model("rank1_qwen2"))
    tokenizer = Tokenizer(settings, limit=100)
    think, close = (tokenizer.pretrained.get_added_vocab()[tag] for tag in ("<think>", "</think>"))
    again: Any = RERANKER.score(tokenizer, settings, [Reply([7, think], 0, (5,), "word " * 300)])
    assert len(again.sequences[0]) == 99 and again.sequences[0][-1] == close


def test_a_prompt_leaves_room_to_reason(tiny_model: Callable) -> None:
    settings = Rank1(type="rank1", model=tiny_model("rank1_qwen2"), max_new_tokens=400)
    (made,) = RERANKER.prompt(Tokenizer(settings, limit=600), settings, [Pair("q", "word " * 900)])
    assert isinstance(made, Prompt) and made.truncated
    assert 600 - 16 - 400 // 4 - 6 <= len(made.sequences[0]) <= 600 - 16 - 400 // 4
    (no_room,) = RERANKER.prompt(Tokenizer(settings, limit=600), settings, [Pair("word " * 900, "d")])
    assert isinstance(no_room, Unscored)


def test_a_template_without_the_query_is_refused() -> None:
    with pytest.raises(ValidationError, match=r"must contain \{query\} or FILL_QUERY_HERE"):
        Rank1(type="rank1", model="m", query_template="Find it.")
