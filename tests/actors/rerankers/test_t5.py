"""T5 rerankers against loops like their references': pygaggle's and PyTerrier_t5's monoT5, ListT5's RankT5, UPR."""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForSeq2SeqLM

from actors.rerankers.contract import Pair, Prompt, Unscored
from actors.rerankers.t5 import RERANKER, T5
from actors.rerankers.tokenizer import Tokenizer
from tests.file_tokenizer import FileTokenizer
from tests.parity import ENGINES, SOME_PAIRS, score_pairs, scores

LENGTH = 512
PAIRS = [*SOME_PAIRS[::2], ("which fruit?", "</s> true <extra_id_10> Relevant: true"), ("true", "<pad> <extra_id_0>")]


def monot5(tokenizer: FileTokenizer, query: str, doc: str) -> list[int]:
    """As PyTerrier_t5 does: what stands before `Relevant:` is cut to the room that it leaves."""
    end = tokenizer.fill("Relevant:</s>")
    return tokenizer.ids(f"Query: {query} Document: {doc}")[: LENGTH - len(end)] + end


def rankt5(tokenizer: FileTokenizer, query: str, doc: str) -> list[int]:
    return [*tokenizer.ids(f"Query: {query} Document: {doc}")[: LENGTH - 1], tokenizer.id("</s>")]


def likelihood(tokenizer: FileTokenizer, query: str, doc: str) -> tuple[list[int], int]:
    """The encoder's tokens and the query's, which is cut to 128; and where the query begins."""
    frame = "Passage: {doc}. Please write a question based on this passage.</s>"
    read, end = tokenizer.fill(frame, doc=doc), tokenizer.id("</s>")
    return [*read, *tokenizer.ids(query)[:127], end], len(read)


@cache
def load(folder: str) -> Any:
    return AutoModelForSeq2SeqLM.from_pretrained(folder, dtype=torch.float32).eval()


def first_logits(folder: str, ids: list[int]) -> torch.Tensor:
    """The logits of the first token that generate() writes."""
    written = load(folder).generate(
        torch.tensor([ids]), max_new_tokens=1, do_sample=False, output_logits=True, return_dict_in_generate=True
    )
    return written.logits[0][0]


def score_monot5(folder: str, tokenizer: FileTokenizer, query: str, doc: str) -> float:
    logits = first_logits(folder, monot5(tokenizer, query, doc))
    return float(logits[[tokenizer.id("false"), tokenizer.id("true")]].log_softmax(0)[1])


def score_rankt5(folder: str, tokenizer: FileTokenizer, query: str, doc: str) -> float:
    return float(first_logits(folder, rankt5(tokenizer, query, doc))[tokenizer.id("<extra_id_10>")])


@torch.no_grad()
def score_likelihood(folder: str, tokenizer: FileTokenizer, query: str, doc: str) -> float:
    ids, at = likelihood(tokenizer, query, doc)
    labels = torch.tensor([ids[at:]])
    logprobs = load(folder)(input_ids=torch.tensor([ids[:at]]), labels=labels).logits.log_softmax(-1)
    return float(logprobs.gather(2, labels[..., None]).mean())


@pytest.mark.parametrize(
    ("mode", "model", "score"),
    [
        ("monot5", "t5", score_monot5),
        ("rankt5", "t5", score_rankt5),
        ("likelihood", "flan_t5", score_likelihood),
    ],
)
def test_scores_are_the_references(mode: str, model: str, score: Callable, tiny_model: Callable) -> None:
    folder = tiny_model(model)
    tokenizer = FileTokenizer(folder)
    pairs = [pair for pair in PAIRS if mode != "likelihood" or likelihood(tokenizer, *pair)[1] <= LENGTH]
    got = scores(score_pairs({"type": "t5", "model": folder, "mode": mode}, ENGINES["transformers"], pairs))
    assert len(pairs) > 15 and len({*got.round(5)}) > len(pairs) / 2
    np.testing.assert_allclose(got, [score(folder, tokenizer, *pair) for pair in pairs], rtol=1e-5, atol=1e-5)


def make(folder: str, mode: Any, query: str, doc: str, **more: Any) -> Prompt | Unscored:
    settings = T5(type="t5", model=folder, mode=mode, **more)
    (made,) = RERANKER.prompt(Tokenizer(settings), settings, [Pair(query, doc)])
    return made


@pytest.mark.parametrize("words", [100, 600, 5000])
@pytest.mark.parametrize("mode", ["monot5", "rankt5", "likelihood"])
def test_the_document_is_cut_to_512_tokens_and_what_stands_behind_it_stays(
    mode: str, words: int, tiny_model: Callable
) -> None:
    folder = tiny_model("t5")
    file = FileTokenizer(folder)
    made = make(folder, mode, "what is it?", "word " * words)
    assert isinstance(made, Prompt) and made.truncated == (words > 400)
    (ids,) = made.sequences
    read = ids[: made.boundary]
    assert LENGTH - 2 <= len(read) <= LENGTH if made.truncated else len(read) < LENGTH
    end = {"monot5": "Relevant:", "rankt5": "", "likelihood": "Please write a question based on this passage."}
    assert read[-len(tail := file.fill(end[mode] + "</s>")) :] == tail


@pytest.mark.parametrize("mode", ["monot5", "rankt5"])
def test_a_query_that_leaves_no_room_is_unscored(mode: str, tiny_model: Callable) -> None:
    made = make(tiny_model("t5"), mode, "word " * 600, "document")
    assert isinstance(made, Unscored) and made.reason.startswith("prompt does not fit: ")


@pytest.mark.parametrize(("words", "tokens", "cut"), [(3, 4, False), (127, 128, False), (128, 128, True)])
def test_a_query_whose_likelihood_is_read_is_cut_to_128_tokens(
    words: int, tokens: int, cut: bool, tiny_model: Callable
) -> None:
    made = make(tiny_model("t5"), "likelihood", "the " * words, "document")
    assert isinstance(made, Prompt) and made.boundary
    assert (len(made.sequences[0]) - made.boundary, made.truncated) == (tokens, cut)


@pytest.mark.parametrize("query", ["", " ", "\n\t"])
def test_a_query_without_a_token_has_no_likelihood(query: str, tiny_model: Callable) -> None:
    assert make(tiny_model("t5"), "likelihood", query, "document") == Unscored("the query has no token of its own")


@pytest.mark.parametrize("name", ["qwen2", "llama2", "bert"])
def test_a_model_without_a_decoder_of_its_own_is_refused(name: str, tiny_model: Callable) -> None:
    with pytest.raises(ValueError, match="does not say is_encoder_decoder"):
        make(tiny_model(name), "monot5", "query", "document")
