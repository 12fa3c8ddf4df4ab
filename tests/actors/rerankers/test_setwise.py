"""Setwise against a heap sort by transformers: the same comparisons, letters' log-probabilities and order."""

import re
from typing import Any

import numpy as np
import pytest

from actors.rerankers.contract import Pair
from actors.rerankers.setwise import RERANKER, Setwise
from actors.rerankers.tokenizer import Tokenizer
from tests.actors.rerankers.test_comparisons import sort_as_authors
from tests.file_tokenizer import FileTokenizer
from tests.parity import DOCS, ENGINES, QUERIES, RTOL, Ranked, Reference, rank_queries

LETTERS = "ABCDEFGHIJKLMNOPQRST"
ANSWER = "<|im_end|>\n<|im_start|>assistant\n Passage:"
LIMITS = {"max_query_tokens": 20, "max_passage_tokens": 30}
TEXTS = [*DOCS, "[sic] Passage A: [A] and [1]", "Passage:"]
ASKED = [QUERIES[5], QUERIES[10]]
CLOSE = 1e-4  # relatively: where log-probabilities come nearer than that, rounding may decide


def prompt(tokenizer: FileTokenizer, query: str, docs: list[str]) -> list[int]:
    """The authors' prompt in Qwen3's chat template, with the answer begun."""
    passages = "\n\n".join(f'Passage {LETTERS[i]}: "{{d{i}}}"' for i in range(len(docs)))
    frame = (
        '<|im_start|>user\nGiven a query "{query}", which of the following passages is the most relevant one to the '
        f"query?\n\n{passages}\n\nOutput only the passage label of the most relevant passage:{ANSWER}"
    )
    return tokenizer.fill(frame, query=query, **{f"d{i}": doc for i, doc in enumerate(docs)})


def cut(tokenizer: FileTokenizer, text: str, most: int) -> str:
    """The first tokens of a text, as a text without half a character at its end."""
    ids = tokenizer.ids(text)
    return text if len(ids) <= most else tokenizer.decode(ids[:most]).rstrip("\ufffd")


class Comparisons:
    """Comparisons by transformers. prompts: of each, in turn. logprobs: of the letters of its passages."""

    def __init__(self, reference: Reference, prompt: Any, query: str, docs: list[str], limits: dict[str, int] = LIMITS):
        self._reference, self._prompt = reference, prompt
        self._query = cut(reference.tokenizer, query, limits["max_query_tokens"])
        self._docs = [cut(reference.tokenizer, doc, limits["max_passage_tokens"]) for doc in docs]
        letters = [reference.tokenizer.fill(f"{ANSWER} {letter}")[-1] for letter in LETTERS]
        assert len({*letters}) == len(LETTERS)
        self._letters = letters
        self.prompts: list[list[int]] = []
        self.logprobs: list[np.ndarray] = []

    def ask(self, shown: list[int]) -> int:
        """The place of the best of the candidates."""
        ids = self._prompt(self._reference.tokenizer, self._query, [self._docs[i] for i in shown])
        found = self._reference.logprobs(ids)[self._letters[: len(shown)]].numpy()
        second, first = np.sort(found)[-2:]
        assert first - second > CLOSE * -first, "texts over which rounding may decide"
        self.prompts.append(ids)
        self.logprobs.append(found)
        return int(np.argmax(found))

    def assert_same(self, got: Ranked) -> None:
        assert [reply.prompt for reply in got.replies] == self.prompts
        for reply, expected in zip(got.replies, self.logprobs, strict=True):
            assert reply.label_logprobs is not None
            np.testing.assert_allclose(reply.label_logprobs[: len(expected)], expected, rtol=RTOL)
        assert {*got.texts} == {None}


@pytest.mark.parametrize(("engine", "children"), [("cached", 3), ("transformers", 3), ("transformers", 19)])
def test_comparisons_and_order_are_those_of_transformers(engine: str, children: int, lettered_qwen3: str) -> None:
    settings: dict[str, Any] = {"type": "setwise", "model": lettered_qwen3, "children": children, "k": 5} | LIMITS
    queries = [[Pair(query, text) for text in TEXTS] for query in ASKED]
    ranked, figures = rank_queries(settings, ENGINES[engine], queries)
    reference = Reference(lettered_qwen3)
    places = set()
    for query, got in zip(ASKED, ranked, strict=True):
        made = Comparisons(reference, prompt, query, TEXTS)

        def find_largest(arr: list[int], at: list[int], made: Comparisons = made) -> int:
            return at[made.ask([arr[place] for place in at])]

        best, others = sort_as_authors(len(TEXTS), children, 5, find_largest)
        made.assert_same(got)
        assert [got.scores[doc] for doc in best + others] == [float(19 - place) for place in range(20)]
        places |= {int(np.argmax(found)) for found in made.logprobs}
    assert len(places) > 2, "a model that has one answer proves nothing"
    assert figures["windows"] == figures["new_tokens"] == sum(len(got.replies) for got in ranked)
    assert figures["windows_unread"] == figures["windows_shortened"] == 0


def test_the_letters_are_those_behind_the_answers_beginning(lettered_qwen3: str) -> None:
    settings = Setwise(type="setwise", model=lettered_qwen3, children=19)
    tokenizer = FileTokenizer(lettered_qwen3)
    expected = [tokenizer.fill(f"{ANSWER} {letter}")[-1] for letter in LETTERS]
    assert Tokenizer(settings).label_ids(RERANKER.request(settings).labels) == expected


# Rank-R1's prompt: the first sentence of its system's message stands for all of it
SYSTEM = "A conversation between User and Assistant."
USER = 'Given the query: "{query}", which of the following documents is most relevant?\n{passages}\nAfter completing'
RANK_R1: dict[str, Any] = {
    "messages": [{"role": "system", "content": SYSTEM}, {"role": "user", "content": USER}],
    "passage": "[{i}] {passage}",
    "separator": "\n",
    "max_new_tokens": 8,
}


def rank_r1_prompt(tokenizer: FileTokenizer, query: str, docs: list[str]) -> list[int]:
    """Passages have numbers, and so nothing of a text may look like one."""
    passages = "\n".join(f"[{i + 1}] {{d{i}}}" for i in range(len(docs)))
    frame = f"<|im_start|>system\n{SYSTEM}<|im_end|>\n<|im_start|>user\n{USER}<|im_end|>\n<|im_start|>assistant\n"
    texts = {f"d{i}": re.sub(r"\[(\d+)\]", r"(\1)", text) for i, text in enumerate([*docs, query])}
    return tokenizer.fill(frame.replace("{passages}", passages).replace("{query}", f"{{d{len(docs)}}}"), **texts)
