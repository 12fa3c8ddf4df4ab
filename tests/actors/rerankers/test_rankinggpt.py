"""RankingGPT against its model card's code and the authors' eval.py."""

from collections.abc import Callable

import numpy as np
import pytest
from pydantic import ValidationError

from actors.rerankers.contract import Pair, Prompt, Unscored
from actors.rerankers.rankinggpt import RERANKER, RankingGPT
from actors.rerankers.tokenizer import Tokenizer
from tests.file_tokenizer import FileTokenizer
from tests.parity import BOTH, ENGINES, PAIRS, SLOW, Reference, assert_same, score_pairs, scores

SOURCE = "Document: {doc} Query:"
BEGINS = {"bloom": "", "llama2": "<s>"}


def card_prompt(tokenizer: FileTokenizer, query: str, doc: str) -> tuple[list[int], int]:
    """Context and query, encoded separately; and where the query begins."""
    context = tokenizer.fill(SOURCE, doc=doc)
    return context + tokenizer.ids(query), len(context)


def eval_prompt(
    tokenizer: FileTokenizer, query: str, passage: str, arguana: bool = False, begin: str = ""
) -> tuple[list[int], int]:
    """Source and query, encoded as one text; and the source's length. begin: what the tokenizer puts before a text."""

    def truncation(text: str, length: int) -> str:
        return tokenizer.decode(tokenizer.ids(text)[:length])

    if arguana:
        passage, query = truncation(passage, 256), truncation(query, 256)
    else:
        query = query.replace("[PAD]", "PAD")
        left = 512 - len(tokenizer.fill(begin + SOURCE)) - len(tokenizer.fill(begin + "{query}", query=query)) - 10
        passage = truncation(passage, left)
    passage = passage.replace("[PAD]", "PAD")
    whole = tokenizer.fill(begin + SOURCE + "{query}", doc=passage, query=query)
    return whole, len(tokenizer.fill(begin + SOURCE, doc=passage))


def likelihood(reference: Reference, ids: list[int], start: int) -> float:
    """The mean log-probability of the ids from `start` on."""
    logprobs = reference.logits(ids[:-1]).log_softmax(-1)[start - 1 :]
    return float(logprobs[range(len(ids) - start), ids[start:]].mean())


def card(reference: Reference, query: str, doc: str) -> float:
    return likelihood(reference, *card_prompt(reference.tokenizer, query, doc))


@pytest.mark.parametrize("engine", BOTH)
@pytest.mark.parametrize("name", ["bloom", pytest.param("llama2", marks=SLOW)])
def test_scores_are_the_cards(name: str, engine: str, tiny_model: Callable) -> None:
    model = tiny_model(name)
    reference = Reference(model)
    got = score_pairs({"type": "rankinggpt", "model": model}, ENGINES[engine])
    assert_same(scores(got), np.array([card(reference, *pair) for pair in PAIRS]))


@pytest.mark.parametrize("arguana", [False, pytest.param(True, marks=SLOW)])
@pytest.mark.parametrize("name", [pytest.param("bloom", marks=SLOW), "llama2"])
def test_scores_are_those_of_the_authors_eval(name: str, arguana: bool, tiny_model: Callable) -> None:
    model = tiny_model(name)
    reference = Reference(model)
    pairs = [*PAIRS, ("[PAD] in the query", "and [PAD] in the document"), ("long " * 300, "doc")][
        : None if arguana else -1
    ]
    settings = {"type": "rankinggpt", "model": model, "mode": "eval", "arguana": arguana}
    got = score_pairs(settings, ENGINES["cached"], pairs)
    assert_same(
        scores(got),
        np.array(
            [likelihood(reference, *eval_prompt(reference.tokenizer, *pair, arguana, BEGINS[name])) for pair in pairs]
        ),
    )


def test_the_card_and_the_eval_are_two_contracts(tiny_model: Callable) -> None:
    card, joint = (RankingGPT(type="rankinggpt", model=tiny_model("llama2"), mode=mode) for mode in ("card", "eval"))
    tokenizer, pair = Tokenizer(card), [Pair("when", "a document")]
    (apart,), (together,) = RERANKER.prompt(tokenizer, card, pair), RERANKER.prompt(tokenizer, joint, pair)
    assert apart != together


def test_in_eval_too_the_document_is_cut_to_a_smaller_context(tiny_model: Callable) -> None:
    settings = RankingGPT(type="rankinggpt", model=tiny_model("bloom"), mode="eval")
    (made,) = RERANKER.prompt(Tokenizer(settings, limit=200), settings, [Pair("what", "word " * 600)])
    assert isinstance(made, Prompt) and made.truncated and 150 < len(made.sequences[0]) < 200


def test_a_query_that_takes_all_512_tokens_is_unscored_in_eval(tiny_model: Callable) -> None:
    settings = RankingGPT(type="rankinggpt", model=tiny_model("bloom"), mode="eval")
    (made,) = RERANKER.prompt(Tokenizer(settings), settings, [Pair("long " * 600, "document")])
    assert made == Unscored("prompt does not fit: the query leaves no token of 512 for the document")


@pytest.mark.parametrize("model", ["zyznull/RankingGPT-qwen-7b", "damo/RankingGPT-baichuan2-7b"])
def test_models_that_vllm_no_longer_runs_are_refused_with_what_to_do(model: str) -> None:
    with pytest.raises(ValidationError, match=r"python jobs/convert\.py"):
        RankingGPT(type="rankinggpt", model=model)


def test_a_converted_model_is_not_refused() -> None:
    RankingGPT(type="rankinggpt", model="./models/RankingGPT-qwen-7b")
